//! Names that were probably meant.

/// How many letters have to be put in, left out, or changed to make one of the other; `None` when it is more than two.
fn distance(a: &str, b: &str) -> Option<usize> {
    let (a, b): (Vec<u8>, Vec<u8>) = (a.bytes().collect(), b.bytes().collect());
    if a.len().abs_diff(b.len()) > 2 || a.len() > 64 {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    Some(row[b.len()]).filter(|n| *n <= 2 && 2 * *n <= a.len().max(2))
}

/// The nearest of `known` to a `name` in capital letters, if one is near enough to be meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .filter_map(|candidate| Some((distance(name, candidate)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = || ["SUM", "COUNT", "QUANTILE", "MAX"].into_iter();
        assert_eq!(super::nearest("CUONT", known()), Some("COUNT"));
        assert_eq!(super::nearest("QUANTIL", known()), Some("QUANTILE"));
        assert_eq!(super::nearest("MX", known()), Some("MAX"));
        assert_eq!(super::nearest("PERCENTILE", known()), None);
    }
}
