//! Pictures of errors and of curves, as PNG files 1,200 pixels high.
//!
//! Values that are not finite are left out.

mod canvas;

use std::ops::Range;
use std::path::Path;

use canvas::{Canvas, Picture};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, DefaultFormatting, KeyPointHint, ValueFormatter};
use plotters::prelude::{
    Cartesian2d, Circle, DrawingArea, EmptyElement, IntoDrawingArea, LineSeries, PathElement,
    Ranged, Rectangle, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, TextStyle};

use mlff_student::error::{Error, ErrorKind, Result};

const SIZE: (u32, u32) = (1600, 1200);
/// Equal axes make a square.
const SQUARE: (u32, u32) = (1254, 1200);
const MARGIN: u32 = 32;
/// Room for the names of ticks and axes (pixels).
const BELOW: u32 = 110;
const BESIDE: u32 = 190;
/// Heights of letters (pixels).
const TITLE: u32 = 44;
const LABEL: u32 = 38;
const TICK: u32 = 32;

const INK: RGBColor = RGBColor(30, 30, 30);
const GRID: RGBColor = RGBColor(225, 225, 225);
const FILL: RGBColor = RGBColor(58, 110, 165);
const MARK: RGBColor = RGBColor(190, 50, 40);

/// Told apart without colour vision too (Okabe and Ito).
const SERIES: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(30, 30, 30),
];

/// What is said around a plot.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// Above it.
    pub title: &'a str,
    /// Below the horizontal axis, with its unit.
    pub x: &'a str,
    /// Beside the vertical axis, with its unit.
    pub y: &'a str,
    /// Lines inside, in a corner: figures that belong to the plot.
    pub notes: &'a [String],
}

/// A named line through points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Shown in the legend.
    pub name: String,
    /// (x, y), in ascending order of x.
    pub points: Vec<(f64, f64)>,
}

/// Which axes are logarithmic; points that are not positive are left out of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logarithmic {
    /// The horizontal one.
    pub x: bool,
    /// The vertical one.
    pub y: bool,
}

/// Up to so many points are drawn one by one, more as a density.
const SINGLE_POINTS: usize = 5_000;

/// Draws what was predicted against what was expected, on equal axes: points, or their density
/// where there are too many.
pub fn parity(path: &Path, labels: Labels<'_>, points: &[(f64, f64)]) -> Result<()> {
    let points: Vec<(f64, f64)> = finite(points);
    let range = padded(points.iter().flat_map(|&(x, y)| [x, y]));
    draw(path, SQUARE, |area| {
        let mut chart = chart(area, labels, range.clone(), range.clone())?;
        if points.len() <= SINGLE_POINTS {
            let style = FILL.mix(0.5).filled();
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 5, style)))?;
        } else {
            density(&mut chart, &points, &range)?;
        }
        let diagonal = [(range.start, range.start), (range.end, range.end)];
        chart.draw_series(LineSeries::new(diagonal, MARK.stroke_width(2)))?;
        notes(area, labels.notes, HPos::Left)
    })
}

/// Draws how often values occur, with a logarithmic axis of counts. Where values lie beyond the
/// outermost thousandths, the bars at the ends, in another colour, count all that is beyond, too.
pub fn histogram(path: &Path, labels: Labels<'_>, values: &[f64]) -> Result<()> {
    const BINS: usize = 81;
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let index = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(index).copied().unwrap_or(0.0)
    };
    let range = padded([quantile(0.001), quantile(0.999)].into_iter());
    let width = (range.end - range.start) / BINS as f64;
    let mut counts = vec![0.0; BINS];
    for value in &sorted {
        let bin = ((value - range.start) / width).floor().clamp(0.0, (BINS - 1) as f64);
        if let Some(count) = counts.get_mut(bin as usize) {
            *count += 1.0;
        }
    }
    let highest = counts.iter().copied().fold(1.0, f64::max);
    let beyond = |value: Option<&f64>| value.is_some_and(|value| !range.contains(value));
    let (low, high) = (beyond(sorted.first()), beyond(sorted.last()));
    let mut lines = labels.notes.to_vec();
    if low || high {
        lines.push("red: all beyond".into());
    }
    // Half a count is the foot of the bars: a single value is seen.
    let vertical = Decades(0.5..3.0 * highest);
    draw(path, SIZE, |area| {
        let mut chart = chart(area, labels, range.clone(), vertical)?;
        let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0.0);
        chart.draw_series(bars.map(|(bin, &count)| {
            let left = range.start + width * bin as f64;
            let end = (bin == 0 && low) || (bin == BINS - 1 && high);
            let color = if end { MARK } else { FILL };
            Rectangle::new([(left, 0.5), (left + width, count)], color.filled())
        }))?;
        notes(area, &lines, HPos::Left)
    })
}

/// Draws one bar for each name, the first on top, with its value beside it.
pub fn bars(path: &Path, labels: Labels<'_>, bars: &[(String, f64)]) -> Result<()> {
    let bars: Vec<&(String, f64)> = bars.iter().filter(|(_, value)| value.is_finite()).collect();
    let highest = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let rows = bars.len().max(1) as f64;
    // From top to bottom.
    let row = |place: usize| rows - 1.0 - place as f64;
    draw(path, SIZE, |area| {
        let name = |y: &f64| {
            let place = bars.iter().enumerate().find(|(place, _)| (row(*place) - y).abs() < 0.01);
            place.map_or_else(String::new, |(_, (name, _))| name.clone())
        };
        let mut room = 0;
        for (name, _) in &bars {
            room = room.max(area.estimate_text_size(name, &text(TICK))?.0);
        }
        let whole = Whole(-0.5..rows - 0.5);
        let mut chart = frame(area, labels, 110 + room, 0.0..1.15 * highest, whole)?;
        axes(&mut chart, labels, &name, false)?;
        let ends = bars.iter().enumerate().map(|(place, (_, value))| (row(place), *value));
        chart.draw_series(ends.clone().map(|(y, value)| {
            Rectangle::new([(0.0, y - 0.35), (value, y + 0.35)], FILL.filled())
        }))?;
        let style = text(TICK).pos(Pos::new(HPos::Left, VPos::Center));
        chart.draw_series(ends.map(|(y, value)| {
            EmptyElement::at((value, y)) + Text::new(number(&value), (10, 0), style.clone())
        }))?;
        notes(area, labels.notes, HPos::Right)
    })
}

/// Draws curves with a legend (learning curves, scans).
pub fn curves(
    path: &Path,
    labels: Labels<'_>,
    logarithmic: Logarithmic,
    curves: &[Curve],
) -> Result<()> {
    let shown = |&(x, y): &(f64, f64)| {
        x.is_finite() && y.is_finite() && (x > 0.0 || !logarithmic.x) && (y > 0.0 || !logarithmic.y)
    };
    let curves: Vec<Curve> = curves
        .iter()
        .map(|Curve { name, points }| Curve {
            name: name.clone(),
            points: points.iter().copied().filter(shown).collect(),
        })
        .collect();
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let range = |values: Vec<f64>, logarithmic| {
        if logarithmic {
            let logarithms = padded(values.iter().map(|value| value.log10()));
            10f64.powf(logarithms.start)..10f64.powf(logarithms.end)
        } else {
            padded(values.into_iter())
        }
    };
    let x = range(all().map(|point| point.0).collect(), logarithmic.x);
    let y = range(all().map(|point| point.1).collect(), logarithmic.y);
    draw(path, SIZE, |area| match (logarithmic.x, logarithmic.y) {
        (false, false) => lines(area, labels, x.clone(), y.clone(), &curves),
        (true, false) => lines(area, labels, Decades(x.clone()), y.clone(), &curves),
        (false, true) => lines(area, labels, x.clone(), Decades(y.clone()), &curves),
        (true, true) => lines(area, labels, Decades(x.clone()), Decades(y.clone()), &curves),
    })
}

type Area<'a> = DrawingArea<Canvas<'a>, Shift>;
type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn draw(path: &Path, size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Drawn<()>) -> Result<()> {
    let mut picture = Picture::new(size.0, size.1);
    let painted = paint(&picture.canvas()?.into_drawing_area());
    painted.map_err(|error| {
        let message = format!("{}: cannot be drawn: {error}", path.display());
        Error::new(ErrorKind::Internal, message)
    })?;
    picture.save(path)
}

type Chart<'a, 'b, X, Y> = ChartContext<'a, Canvas<'b>, Cartesian2d<X, Y>>;

/// Title and room for the axes.
fn frame<'a, 'b, X, Y>(
    area: &'a Area<'b>,
    labels: Labels<'_>,
    beside: u32,
    x: impl AsRangedCoord<CoordDescType = X, Value = f64>,
    y: impl AsRangedCoord<CoordDescType = Y, Value = f64>,
) -> Drawn<Chart<'a, 'b, X, Y>>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    Ok(ChartBuilder::on(area)
        .margin(MARGIN)
        .caption(labels.title, text(TITLE))
        .x_label_area_size(BELOW)
        .y_label_area_size(beside)
        .build_cartesian_2d(x, y)?)
}

/// A chart with axes that show numbers.
fn chart<'a, 'b, X, Y>(
    area: &'a Area<'b>,
    labels: Labels<'_>,
    x: impl AsRangedCoord<CoordDescType = X, Value = f64>,
    y: impl AsRangedCoord<CoordDescType = Y, Value = f64>,
) -> Drawn<Chart<'a, 'b, X, Y>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = frame(area, labels, BESIDE, x, y)?;
    axes(&mut chart, labels, &number, true)?;
    Ok(chart)
}

/// Draws ticks, names and grid; `y` names the ticks of the vertical axis.
fn axes<X, Y>(
    chart: &mut Chart<'_, '_, X, Y>,
    labels: Labels<'_>,
    y: &dyn Fn(&f64) -> String,
    lines_across: bool,
) -> Drawn<()>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut mesh = chart.configure_mesh();
    if !lines_across {
        mesh.disable_y_mesh();
    }
    mesh.x_desc(labels.x)
        .y_desc(labels.y)
        .x_labels(8)
        .y_labels(8)
        .x_label_formatter(&number)
        .y_label_formatter(&y)
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(INK.stroke_width(2))
        .axis_desc_style(text(LABEL))
        .label_style(text(TICK));
    Ok(mesh.draw()?)
}

/// Points in cells, coloured by the logarithm of their number.
fn density<X, Y>(
    chart: &mut Chart<'_, '_, X, Y>,
    points: &[(f64, f64)],
    range: &Range<f64>,
) -> Drawn<()>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    const CELLS: usize = 240;
    let width = (range.end - range.start) / CELLS as f64;
    let cell =
        |value: f64| (((value - range.start) / width).floor().max(0.0) as usize).min(CELLS - 1);
    let mut counts = vec![0_u32; CELLS * CELLS];
    for &(x, y) in points {
        if let Some(count) = counts.get_mut(CELLS * cell(y) + cell(x)) {
            *count += 1;
        }
    }
    let most = f64::from(counts.iter().copied().max().unwrap_or(1).max(2)).ln();
    let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    chart.draw_series(filled.map(|(index, &count)| {
        let left = range.start + width * (index % CELLS) as f64;
        let low = range.start + width * (index / CELLS) as f64;
        let color = shade(f64::from(count).ln() / most);
        Rectangle::new([(left, low), (left + width, low + width)], color.filled())
    }))?;
    Ok(())
}

/// From light for single points to dark for the most.
fn shade(share: f64) -> RGBColor {
    let between = |from: f64, to: f64| (from + share * (to - from)).round() as u8;
    RGBColor(between(170.0, 8.0), between(200.0, 29.0), between(230.0, 88.0))
}

fn lines<X, Y>(
    area: &Area<'_>,
    labels: Labels<'_>,
    x: impl AsRangedCoord<CoordDescType = X, Value = f64>,
    y: impl AsRangedCoord<CoordDescType = Y, Value = f64>,
    curves: &[Curve],
) -> Drawn<()>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let colors = || SERIES.iter().cycle();
    let area = &legend(area, curves.iter().map(|curve| &*curve.name).zip(colors()))?;
    let mut chart = chart(area, labels, x, y)?;
    for (curve, color) in curves.iter().zip(colors()) {
        let style = color.stroke_width(4);
        chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
        if curve.points.len() <= 60 {
            let point = |&point| Circle::new(point, 7, color.filled());
            chart.draw_series(curve.points.iter().map(point))?;
        }
    }
    notes(area, labels.notes, HPos::Left)
}

/// Names beside pieces of line, at the upper right; returns the area that is left of them.
fn legend<'a, 'b>(
    area: &Area<'b>,
    entries: impl Iterator<Item = (&'a str, &'a RGBColor)>,
) -> Drawn<Area<'b>> {
    let entries: Vec<_> = entries.filter(|(name, _)| !name.is_empty()).collect();
    if entries.is_empty() {
        return Ok(area.clone());
    }
    let style = text(TICK);
    let mut width = 0;
    for (name, _) in &entries {
        width = width.max(area.estimate_text_size(name, &style)?.0 as i32);
    }
    let left = area.dim_in_pixel().0 as i32 - MARGIN as i32 - width;
    for (row, (name, color)) in entries.into_iter().enumerate() {
        let y = 112 + 48 * row as i32;
        let piece = vec![(left - 90, y + 22), (left - 20, y + 22)];
        area.draw(&PathElement::new(piece, color.stroke_width(6)))?;
        area.draw(&Text::new(name.to_string(), (left, y), style.clone()))?;
    }
    Ok(area.split_horizontally(left - 90).0)
}

/// Lines of text inside the axes at the top.
fn notes(area: &Area<'_>, lines: &[String], side: HPos) -> Drawn<()> {
    let (x, pos) = match side {
        HPos::Right => (area.dim_in_pixel().0 as i32 - 2 * MARGIN as i32, HPos::Right),
        _ => (260, HPos::Left),
    };
    let style = text(TICK).pos(Pos::new(pos, VPos::Top));
    for (row, line) in lines.iter().enumerate() {
        area.draw(&Text::new(line.clone(), (x, 116 + 44 * row as i32), style.clone()))?;
    }
    Ok(())
}

fn text(size: u32) -> TextStyle<'static> {
    // The canvas has one font; the name is not looked at.
    TextStyle::from(("sans-serif", size).into_font()).color(&INK)
}

fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// The range of values and a little more, never empty.
fn padded(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let room = 0.04 * (high - low);
    let room = if room > 0.0 { room } else { (0.01 * low.abs()).max(1e-6) };
    low - room..high + room
}

/// A tick's value in few characters.
fn number(value: &f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        return "0".into();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.1e}").replace('-', "−");
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 5) as usize;
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.replace('-', "−")
}

/// An axis with a tick at every whole number.
struct Whole(Range<f64>);

impl Ranged for Whole {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.0.start) / (self.0.end - self.0.start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        (self.0.start.ceil() as i64..=self.0.end.floor() as i64).map(|place| place as f64).collect()
    }

    fn range(&self) -> Range<f64> {
        self.0.clone()
    }
}

/// A logarithmic axis.
struct Decades(Range<f64>);

impl Ranged for Decades {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let logarithms = Whole(self.0.start.log10()..self.0.end.log10());
        logarithms.map(&value.max(f64::MIN_POSITIVE).log10(), limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let (low, high) = (self.0.start.log10().floor() as i32, self.0.end.log10().ceil() as i32);
        // As many ticks as can be read.
        let (within, step): (&[f64], usize) = match high - low {
            ..=2 => (&[1.0, 2.0, 3.0, 5.0], 1),
            3 => (&[1.0, 3.0], 1),
            decades => (&[1.0], decades as usize / 8 + 1),
        };
        let powers = (low..=high).step_by(step).map(|power| 10f64.powi(power));
        let ticks = powers.flat_map(|power| within.iter().map(move |factor| factor * power));
        ticks.filter(|tick| self.0.contains(tick)).collect()
    }

    fn range(&self) -> Range<f64> {
        self.0.clone()
    }
}
