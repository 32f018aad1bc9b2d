//! Curves as SVG: axes with ticks and labels, several lines, a legend.

use crate::outcome::Short;
use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 460.0;
/// Space for labels: left, right, top, bottom.
const MARGIN: [f64; 4] = [80.0, 190.0, 40.0, 60.0];
/// Colours that most eyes can tell apart (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// One axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// What it shows, with the unit.
    pub label: &'static str,
    /// Powers of ten at even distances. What is not above zero is left out.
    pub log: bool,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Where the values of an axis are drawn.
struct Scale {
    log: bool,
    low: f64,
    high: f64,
    /// Where on the page `low` and `high` are.
    page: (f64, f64),
}

impl Scale {
    /// For these values; linear scales begin at zero.
    fn new(log: bool, values: impl Iterator<Item = f64>, page: (f64, f64)) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = match (low.is_finite(), log) {
            (false, _) => (1.0, 10.0),
            (_, true) if high > low => (low, high),
            (_, true) => (low / 2.0, high * 2.0),
            (_, false) => (0.0, if high > 0.0 { high * 1.05 } else { 1.0 }),
        };
        Self { log, low, high, page }
    }

    fn at(&self, value: f64) -> f64 {
        let f = |v: f64| if self.log { v.log10() } else { v };
        let part = (f(value) - f(self.low)) / (f(self.high) - f(self.low));
        self.page.0 + part * (self.page.1 - self.page.0)
    }

    /// Round values: 1, 2 and 5 times powers of ten.
    fn ticks(&self) -> Vec<f64> {
        if !self.log {
            let rough = (self.high - self.low) / 6.0;
            let ten = 10_f64.powf(rough.log10().floor());
            let step =
                [1.0, 2.0, 5.0, 10.0].map(|m| m * ten).into_iter().find(|s| *s >= rough).unwrap_or(ten);
            return (0..=10).map(|i| f64::from(i) * step).filter(|v| *v <= self.high).collect();
        }
        let (from, to) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let steps: &[f64] = if to - from > 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = (from..=to).flat_map(|e| steps.iter().map(move |m| m * 10_f64.powi(e)));
        all.filter(|v| (self.low * 0.999..=self.high * 1.001).contains(v)).collect()
    }
}

/// A value with k, M or G.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e9 => format!("{}G", value / 1e9),
        v if v >= 1e6 => format!("{}M", value / 1e6),
        v if v >= 1e3 => format!("{}k", value / 1e3),
        _ => format!("{}", Short(value)),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Draws the curves.
#[must_use]
pub fn chart(title: &str, x: Axis, y: Axis, curves: &[Curve]) -> String {
    let fits = |v: f64, axis: Axis| v.is_finite() && (!axis.log || v > 0.0);
    let kept: Vec<Vec<(f64, f64)>> = curves
        .iter()
        .map(|c| c.points.iter().copied().filter(|p| fits(p.0, x) && fits(p.1, y)).collect())
        .collect();
    let [left, right, top, bottom] = MARGIN;
    let (right, bottom) = (WIDTH - right, HEIGHT - bottom);
    let xs = Scale::new(x.log, kept.iter().flatten().map(|p| p.0), (left, right));
    let ys = Scale::new(y.log, kept.iter().flatten().map(|p| p.1), (bottom, top));
    let mut s = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    text(&mut s, (WIDTH / 2.0, 20.0), "text-anchor=\"middle\" font-size=\"14\"", title);
    for v in xs.ticks() {
        let at = xs.at(v);
        line(&mut s, (at, top), (at, bottom), "#ddd");
        text(&mut s, (at, bottom + 16.0), "text-anchor=\"middle\"", &short(v));
    }
    for v in ys.ticks() {
        let at = ys.at(v);
        line(&mut s, (left, at), (right, at), "#ddd");
        text(&mut s, (left - 6.0, at + 4.0), "text-anchor=\"end\"", &short(v));
    }
    line(&mut s, (left, bottom), (right, bottom), "#000");
    line(&mut s, (left, top), (left, bottom), "#000");
    let middle = (left + right) / 2.0;
    text(&mut s, (middle, HEIGHT - 18.0), "text-anchor=\"middle\"", x.label);
    let turned = format!("text-anchor=\"middle\" transform=\"rotate(-90 18 {})\"", HEIGHT / 2.0);
    text(&mut s, (18.0, HEIGHT / 2.0), &turned, y.label);
    for (i, (curve, points)) in curves.iter().zip(&kept).enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let at: Vec<_> = points.iter().map(|p| (xs.at(p.0), ys.at(p.1))).collect();
        let path: Vec<_> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        let _ =
            writeln!(s, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
        for (x, y) in at {
            let _ = writeln!(s, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let row = top + 14.0 + 16.0 * i as f64;
        line(&mut s, (right + 10.0, row - 4.0), (right + 30.0, row - 4.0), colour);
        text(&mut s, (right + 36.0, row), "", &curve.name);
    }
    s.push_str("</svg>\n");
    s
}

fn text(s: &mut String, (x, y): (f64, f64), attributes: &str, text: &str) {
    let _ = writeln!(s, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{}</text>", escape(text));
}

fn line(s: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let (x1, y1, x2, y2) = (from.0, from.1, to.0, to.1);
    let at = format!("x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"");
    let _ = writeln!(s, "<line {at} stroke=\"{colour}\"/>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(log: bool, points: &[(f64, f64)]) -> String {
        let curves = [
            Curve { name: "a<b & c".to_owned(), points: points.to_vec() },
            Curve { name: "none".to_owned(), points: vec![] },
        ];
        chart("t", Axis { label: "x", log }, Axis { label: "y", log }, &curves)
    }

    /// Every tag is closed in order, and every number is finite.
    fn well_formed(svg: &str) {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("an end of the tag");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if tag.ends_with('/') => {}
                None => open.push(tag.split_whitespace().next().expect("a name")),
            }
        }
        assert!(open.is_empty(), "{open:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(svg.replace("&amp;", "").replace("&lt;", "").matches('&').count(), 0);
    }

    #[test]
    fn charts_are_well_formed_whatever_the_points() {
        let odd = [(0.0, 0.0), (-1.0, 5.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)];
        for log in [false, true] {
            for points in [&[][..], &[(3.0, 3.0)], &odd, &[(16.0, 1e3), (256.0, 1e7), (4e6, 2e5)]] {
                well_formed(&draw(log, points));
            }
        }
    }

    #[test]
    fn points_are_inside_and_ticks_are_round() {
        let s = Scale::new(true, [16.0, 4e6].into_iter(), (80.0, 740.0));
        assert_eq!((s.at(16.0), s.at(4e6)), (80.0, 740.0));
        assert_eq!(s.ticks().len(), 5, "{:?}", s.ticks());
        let s = Scale::new(false, [3.0, 9.7].into_iter(), (0.0, 1.0));
        assert_eq!(s.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!([50.0, 2e3, 1e7].map(short), ["50", "2k", "10M"]);
    }
}
