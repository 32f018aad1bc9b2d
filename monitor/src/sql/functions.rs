//! The functions there are: names, how many arguments, one line and one example each.

/// A function of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Abs,
    Age,
    Ceil,
    Coalesce,
    DistinctCount,
    Element,
    Floor,
    Glob,
    Hex,
    If,
    Instr,
    Length,
    Lower,
    Ltrim,
    Max,
    Min,
    Now,
    Nullif,
    Quantile,
    Replace,
    Round,
    Rtrim,
    Sign,
    Strftime,
    Substr,
    Trim,
    Typeof,
    Upper,
}

/// A function of many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Avg,
    BitAnd,
    BitOr,
    Count,
    CountRows,
    DistinctSketch,
    First,
    Max,
    Min,
    Random,
    Sketch,
    Stddev,
    Sum,
    Top,
    Variance,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Scalar(Scalar),
    Aggregate(Aggregate),
}

/// A function, described for people.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Its name in capital letters.
    pub name: &'static str,
    /// How few and how many arguments it takes.
    pub arguments: (usize, usize),
    /// What it does.
    pub does: &'static str,
    /// How to write it.
    pub example: &'static str,
    /// Whether it makes one value of many rows.
    pub aggregate: bool,
    pub(super) function: Function,
}

/// A row of the table of functions of values.
const fn value(
    name: &'static str,
    arguments: (usize, usize),
    function: Scalar,
    does: &'static str,
    example: &'static str,
) -> Described {
    Described { name, arguments, does, example, aggregate: false, function: Function::Scalar(function) }
}

/// A row of the table of functions of many rows.
const fn rows(
    name: &'static str,
    arguments: (usize, usize),
    function: Aggregate,
    does: &'static str,
    example: &'static str,
) -> Described {
    Described { name, arguments, does, example, aggregate: true, function: Function::Aggregate(function) }
}

/// As many arguments as the limit on the nodes of a query allows.
const MANY: usize = usize::MAX;

/// In alphabetical order; aggregates first where a name is both.
#[rustfmt::skip]
const FUNCTIONS: &[Described] = &[
    rows("AND", (1, 1), Aggregate::BitAnd, "the bits that all have; another name of BIT_AND", "AND(features)"),
    rows("AVG", (1, 2), Aggregate::Avg, "the mean, also weighted, so that means of children give the mean of all", "AVG(load, nmembers)"),
    rows("BIT_AND", (1, 1), Aggregate::BitAnd, "the bits that all have, of integers or of bytes", "BIT_AND(features)"),
    rows("BIT_OR", (1, 1), Aggregate::BitOr, "the bits that any has, of integers or of bytes (a Bloom filter)", "BIT_OR(topics)"),
    rows("COUNT", (0, 1), Aggregate::Count, "how many rows, values, or different values", "COUNT(DISTINCT version)"),
    rows("DISTINCT_SKETCH", (1, 1), Aggregate::DistinctSketch, "which values there are, or sketches of them, in at most 387 bytes (4.6 %)", "DISTINCT_SKETCH(user)"),
    rows("FIRST", (2, 2), Aggregate::First, "a list of the first n different values, or elements of lists, in the order of rows", "FIRST(3, contacts)"),
    rows("MAX", (1, 1), Aggregate::Max, "the largest", "MAX(load)"),
    rows("MIN", (1, 1), Aggregate::Min, "the smallest", "MIN(free)"),
    rows("OR", (1, 1), Aggregate::BitOr, "the bits that any has; another name of BIT_OR", "OR(topics)"),
    rows("RANDOM", (2, 2), Aggregate::Random, "a list of n different values, or elements of lists, drawn by the seed", "RANDOM(3, contacts)"),
    rows("SKETCH", (1, 1), Aggregate::Sketch, "the distribution of numbers, or of sketches of them, in at most 700 bytes", "SKETCH(COALESCE(latencies, latency))"),
    rows("STDDEV", (1, 3), Aggregate::Stddev, "the square root of VARIANCE", "STDDEV(load)"),
    rows("SUM", (1, 1), Aggregate::Sum, "the sum; NULL of nothing", "SUM(nmembers)"),
    rows("TOP", (3, 3), Aggregate::Top, "a list of the n largest: by, x, by, x …; where x is such a list, its entries", "TOP(3, load, COALESCE(worst, id))"),
    rows("VARIANCE", (1, 3), Aggregate::Variance, "of the population; of groups if given their mean, variance and count", "VARIANCE(mean, var, nmembers)"),
    value("ABS", (1, 1), Scalar::Abs, "without the sign", "ABS(drift)"),
    value("AGE", (1, 1), Scalar::Age, "seconds since a time", "AGE(issued)"),
    value("CEIL", (1, 1), Scalar::Ceil, "the next whole number up", "CEIL(load)"),
    value("CEILING", (1, 1), Scalar::Ceil, "another name of CEIL", "CEILING(load)"),
    value("COALESCE", (2, MANY), Scalar::Coalesce, "the first that is not NULL", "COALESCE(name, id)"),
    value("DISTINCT_COUNT", (1, 1), Scalar::DistinctCount, "how many different values a sketch has seen", "DISTINCT_COUNT(users)"),
    value("ELEMENT", (2, 2), Scalar::Element, "an element of a list, from 1", "ELEMENT(contacts, 1)"),
    value("FLOOR", (1, 1), Scalar::Floor, "the next whole number down", "FLOOR(load)"),
    value("GLOB", (2, 2), Scalar::Glob, "whether a pattern with * ? [] fits a text", "GLOB('db-*', name)"),
    value("HEX", (1, 1), Scalar::Hex, "bytes as hexadecimal digits", "HEX(digest)"),
    value("IFNULL", (2, 2), Scalar::Coalesce, "the first that is not NULL", "IFNULL(load, 0)"),
    value("IIF", (3, 3), Scalar::If, "the second if the first is true, otherwise the third", "IIF(load > 8, 'hot', 'ok')"),
    value("INSTR", (2, 2), Scalar::Instr, "where the second is in the first, from 1; 0 if it is not", "INSTR(name, '-')"),
    value("LENGTH", (1, 1), Scalar::Length, "characters of a text, bytes, or elements of a list", "LENGTH(contacts)"),
    value("LOWER", (1, 1), Scalar::Lower, "in small letters (ASCII)", "LOWER(name)"),
    value("LTRIM", (1, 2), Scalar::Ltrim, "without spaces, or these characters, at the start", "LTRIM(path, '/')"),
    value("MAX", (2, MANY), Scalar::Max, "the largest of several; NULL if one is", "MAX(load1, load5)"),
    value("MIN", (2, MANY), Scalar::Min, "the smallest of several; NULL if one is", "MIN(free, 100)"),
    value("NOW", (0, 0), Scalar::Now, "seconds since 1970, as handed in", "NOW()"),
    value("NULLIF", (2, 2), Scalar::Nullif, "NULL if both are equal, otherwise the first", "NULLIF(state, 'unknown')"),
    value("QUANTILE", (2, 2), Scalar::Quantile, "the number that this share of the sketched ones is not above", "QUANTILE(latencies, 0.99)"),
    value("REPLACE", (3, 3), Scalar::Replace, "the first with the third where the second was", "REPLACE(path, '/', '.')"),
    value("ROUND", (1, 2), Scalar::Round, "rounded to so many decimal places, halves away from zero", "ROUND(load, 2)"),
    value("RTRIM", (1, 2), Scalar::Rtrim, "without spaces, or these characters, at the end", "RTRIM(path, '/')"),
    value("SIGN", (1, 1), Scalar::Sign, "-1, 0 or 1", "SIGN(drift)"),
    value("STRFTIME", (2, 2), Scalar::Strftime, "a time in UTC as text: %Y %m %d %H %M %S %j %w %u %s %F %T %%", "STRFTIME('%F %T', issued)"),
    value("SUBSTR", (2, 3), Scalar::Substr, "a part: from where, from 1 or from the end if negative, and how long", "SUBSTR(name, 1, 3)"),
    value("SUBSTRING", (2, 3), Scalar::Substr, "another name of SUBSTR", "SUBSTRING(name, 4)"),
    value("TRIM", (1, 2), Scalar::Trim, "without spaces, or these characters, at both ends", "TRIM(name)"),
    value("TYPEOF", (1, 1), Scalar::Typeof, "null, integer, real, text, blob or list", "TYPEOF(load)"),
    value("UPPER", (1, 1), Scalar::Upper, "in capital letters (ASCII)", "UPPER(name)"),
];

/// All functions, for help texts.
pub fn functions() -> &'static [Described] {
    FUNCTIONS
}

/// The function of this name, in capital letters, that takes this many arguments; or one that takes another number.
pub(super) fn find(name: &str, arguments: usize) -> Option<&'static Described> {
    let named = || FUNCTIONS.iter().filter(|f| f.name == name);
    named().find(|f| f.arguments.0 <= arguments && arguments <= f.arguments.1).or_else(|| named().next())
}
