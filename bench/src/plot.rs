//! Plots as SVG: a few lines over one axis, light and readable, without any library.

use std::fmt::Write as _;

use crate::row::figure;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Room around the lines: for the title, the figures of the axes, the names of the lines.
const LEFT: f64 = 80.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
const COLOURS: [&str; 4] = ["#1f6feb", "#d1592a", "#2a8c4a", "#8250df"];
const TICKS: usize = 5;

/// A line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    name: String,
    points: Vec<Point>,
}

/// A place in a plot, in the units of its axes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    x: f64,
    y: f64,
}

impl Series {
    /// A line without points yet.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            points: Vec::new(),
        }
    }

    /// Adds a point; points come from left to right.
    pub fn add(&mut self, x: f64, y: f64) {
        self.points.push(Point { x, y });
    }
}

/// A plot of `docs/plots/`.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Its file's name, without the ending.
    pub file: &'static str,
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    /// Each step to the right is a factor.
    pub is_x_log: bool,
    pub series: Vec<Series>,
}

/// Where the values of a plot lie on its area.
struct Scale {
    from: f64,
    to: f64,
    top: f64,
    is_log: bool,
}

impl Scale {
    fn of(plot: &Plot) -> Self {
        let all = || plot.series.iter().flat_map(|series| &series.points);
        let from = all().map(|point| point.x).fold(f64::INFINITY, f64::min);
        let to = all().map(|point| point.x).fold(f64::NEG_INFINITY, f64::max);
        let top = all().map(|point| point.y).fold(0.0, f64::max);
        Self {
            from: if plot.is_x_log { from } else { from.min(0.0) },
            to: if plot.is_x_log { to } else { round_up(to) },
            top: round_up(top),
            is_log: plot.is_x_log,
        }
    }

    fn x(&self, value: f64) -> f64 {
        let place = |value: f64| if self.is_log { value.ln() } else { value };
        let width = place(self.to) - place(self.from);
        let part = if width > 0.0 {
            (place(value) - place(self.from)) / width
        } else {
            0.5
        };
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)
    }
}

/// The next larger of 1, 2, 2.5, 5 and 10 times a power of ten; 1 for an axis with nothing above 0.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

impl Plot {
    /// Whether there is a line to draw.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }

    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let scale = Scale::of(self);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\" fill=\"#333\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
        );
        text(
            &mut svg,
            LEFT,
            26.0,
            "start",
            self.title,
            "font-size=\"16\"",
        );
        for tick in 0..=TICKS {
            let value = scale.top * tick as f64 / TICKS as f64;
            let y = scale.y(value);
            line(
                &mut svg,
                &format!("{LEFT:.0},{y:.1} {:.0},{y:.1}", WIDTH - RIGHT),
                "#ddd",
                1,
            );
            text(&mut svg, LEFT - 8.0, y + 4.0, "end", &figure(value), "");
        }
        for value in self.marks(&scale) {
            let at = scale.x(value);
            text(
                &mut svg,
                at,
                HEIGHT - BOTTOM + 20.0,
                "middle",
                &figure(value),
                "",
            );
        }
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        text(&mut svg, middle, HEIGHT - 14.0, "middle", self.x, "");
        text(&mut svg, 8.0, TOP - 8.0, "start", self.y, "");
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            draw(&mut svg, series, &scale, colour);
        }
        self.legend(&mut svg);
        svg + "</svg>\n"
    }

    /// The names of the lines, beside them.
    fn legend(&self, svg: &mut String) {
        for (number, series) in self.series.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let (x, y) = (WIDTH - RIGHT + 16.0, TOP + 20.0 * number as f64);
            line(
                svg,
                &format!("{x:.0},{y:.0} {:.0},{y:.0}", x + 18.0),
                colour,
                2,
            );
            let style = format!("fill=\"{colour}\"");
            text(svg, x + 24.0, y + 4.0, "start", &series.name, &style);
        }
    }

    /// The figures under the axis: on a linear one evenly spaced, on a logarithmic one those measured.
    fn marks(&self, scale: &Scale) -> Vec<f64> {
        if !self.is_x_log {
            let width = scale.to - scale.from;
            let mark = |tick: usize| scale.from + width * tick as f64 / TICKS as f64;
            return (0..=TICKS).map(mark).collect();
        }
        let points = self.series.iter().flat_map(|series| &series.points);
        let mut marks: Vec<f64> = points.map(|point| point.x).collect();
        marks.sort_unstable_by(f64::total_cmp);
        marks.dedup();
        marks
    }
}

fn draw(svg: &mut String, series: &Series, scale: &Scale, colour: &str) {
    let places: Vec<String> = series
        .points
        .iter()
        .map(|point| format!("{:.1},{:.1}", scale.x(point.x), scale.y(point.y)))
        .collect();
    line(svg, &places.join(" "), colour, 2);
    if places.len() <= 20 {
        for place in places.iter().filter_map(|place| place.split_once(',')) {
            let (x, y) = place;
            write(
                svg,
                format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>\n"),
            );
        }
    }
}

fn line(svg: &mut String, points: &str, colour: &str, width: u8) {
    write(
        svg,
        format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\n"
        ),
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str, style: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    write(
        svg,
        format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>\n"
        ),
    );
}

fn write(svg: &mut String, what: std::fmt::Arguments<'_>) {
    let written = svg.write_fmt(what);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(is_x_log: bool, points: &[(f64, f64)]) -> Plot {
        let mut series = Series::new("a & b");
        for (x, y) in points {
            series.add(*x, *y);
        }
        Plot {
            file: "test",
            title: "Title",
            x: "clients",
            y: "batches",
            is_x_log,
            series: vec![series],
        }
    }

    #[test]
    fn the_extremes_lie_on_the_edges() {
        let linear = Scale::of(&plot(false, &[(50.0, 10.0), (100.0, 20.0)]));
        assert_eq!((linear.x(0.0), linear.x(100.0)), (LEFT, WIDTH - RIGHT));
        let empty = Scale::of(&plot(false, &[(0.0, 0.0)]));
        assert_eq!((empty.x(0.0), empty.y(0.0)), (LEFT, HEIGHT - BOTTOM));
        assert_eq!((linear.y(0.0), linear.y(20.0)), (HEIGHT - BOTTOM, TOP));
        let log = Scale::of(&plot(true, &[(1.0, 10.0), (16.0, 5.0), (256.0, 20.0)]));
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        assert_eq!(log.x(1.0), LEFT);
        assert!((log.x(16.0) - middle).abs() < 0.001);
        assert_eq!(log.x(256.0), WIDTH - RIGHT);
    }

    #[test]
    fn an_axis_ends_on_a_round_figure() {
        for (value, round) in [
            (1.0, 1.0),
            (1.1, 2.0),
            (21.0, 25.0),
            (26.0, 50.0),
            (0.07, 0.1),
            (999.0, 1000.0),
        ] {
            assert!((round_up(value) - round).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn a_plot_is_sound_xml_with_every_point() {
        let svg = plot(true, &[(1.0, 10.0), (4.0, 30.0), (16.0, 20.0)]).svg();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("a &amp; b") && svg.contains("Title"));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn a_single_point_and_no_point_are_drawn() {
        let one = plot(true, &[(1.0, 0.0)]);
        assert!(!one.is_empty() && !one.svg().contains("NaN"));
        assert!(plot(false, &[]).is_empty());
    }
}
