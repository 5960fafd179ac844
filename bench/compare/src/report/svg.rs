//! A small writer of SVG: boxes, lines and text, legible on light and on dark ground.

use std::fmt::Write as _;

/// Which end of a text its place is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture that is being drawn.
pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        // A `String` takes whatever is written to it.
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        );
    }

    pub(crate) fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
        let width = width.max(1.0);
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="1.5" fill="{fill}"/>"#
        );
    }

    /// A thin line of the frame.
    pub(crate) fn rule(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = writeln!(
            self.body,
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="rule"/>"#
        );
    }

    /// A line through these points.
    pub(crate) fn line(&mut self, points: &[(f64, f64)], stroke: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.body,
            r#"<polyline points="{}" fill="none" stroke="{stroke}" stroke-width="1.8" stroke-linejoin="round"/>"#,
            points.join(" ")
        );
    }

    /// The whole file. `title` is what is read out.
    pub(crate) fn finish(self, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.0} {h:.0}\" width=\"{w:.0}\" \
             height=\"{h:.0}\" role=\"img\">\n<title>{title}</title>\n<style>\n\
             text {{ font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #24292f; }}\n\
             .title {{ font-size: 15px; font-weight: 600; }}\n\
             .row {{ font-weight: 600; }}\n\
             .small {{ font-size: 11px; fill: #57606a; }}\n\
             .rule {{ stroke: #8c959f; stroke-opacity: 0.45; stroke-width: 1; }}\n\
             @media (prefers-color-scheme: dark) {{\n  text {{ fill: #e6edf3; }}\n  \
             .small {{ fill: #9ea7b3; }}\n}}\n</style>\n{body}</svg>\n",
            w = self.width,
            h = self.height,
            title = escape(title),
            body = self.body
        )
    }
}

/// Text as it may stand between tags.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_a_tag() {
        assert_eq!(escape(r#"a<b & "c">"#), "a&lt;b &amp; &quot;c&quot;&gt;");
        let mut svg = Svg::new(10.0, 10.0);
        svg.text((1.0, 2.0), Anchor::Middle, "row", "p99 < 1 ms");
        let text = svg.finish("a & b");
        assert!(text.contains("p99 &lt; 1 ms") && text.contains("<title>a &amp; b</title>"));
    }
}
