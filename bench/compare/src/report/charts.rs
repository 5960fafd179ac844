//! The pictures: bars for each row, and rates and latencies over time.

use crate::measure::{Measurement, Point, Rate};
use crate::report::svg::{Anchor, Svg};
use crate::results::{EngineOf, Results};
use crate::settings::Setting;
use crate::stats::{duration, short, times};
use crate::workloads::{self, Row};

/// The rows that have a picture over time.
pub(crate) const OVER_TIME: [&str; 2] = ["load_random", "beside"];

/// Those of an engine are the same in all pictures: of the middle kind, so that they stand out from
/// white and from black.
fn colour(engine: &str) -> &'static str {
    match engine {
        "alluvium" => "#e8590c",
        "alluvium-mapped" => "#f59f00",
        "rocksdb" => "#2b8a3e",
        "fjall" => "#9c36b5",
        "lmdb" => "#1c7ed6",
        "redb" => "#c2255c",
        "sled" => "#868e96",
        "surrealkv" => "#0c8599",
        _ => "#b08800",
    }
}

pub(crate) struct Picture {
    pub(crate) setting: Setting,
    pub(crate) title: String,
    pub(crate) file: String,
    pub(crate) svg: String,
}

/// Those of one setting.
pub(crate) fn all(results: &Results, setting: Setting) -> Vec<Picture> {
    let mut pictures = vec![bars(results, setting)];
    let rows = workloads::ALL.iter().filter(|row| OVER_TIME.contains(&row.name));
    pictures.extend(rows.filter_map(|row| over_time(results, setting, row)));
    pictures
}

const WIDTH: f64 = 900.0;
const COLUMN: f64 = WIDTH / 2.0;
const BAR: f64 = 13.0;
const BAR_STEP: f64 = 17.0;
const NAMES: f64 = 78.0;
const VALUES: f64 = 110.0;

/// Two columns of rows, each with a bar for each engine.
fn bars(results: &Results, setting: Setting) -> Picture {
    let title = format!("Rates, {}", setting.title().0.to_lowercase());
    let cell_height = 34.0 + BAR_STEP * results.engines.len() as f64;
    let shown = |row: &&Row| {
        results.taken.iter().any(|taken| taken.setting == setting.name() && taken.row == row.name)
    };
    let rows: Vec<_> = workloads::ALL.iter().filter(shown).collect();
    let lines = rows.len().div_ceil(2);
    let mut svg = Svg::new(WIDTH, 44.0 + cell_height * lines as f64);
    svg.text((12.0, 24.0), Anchor::Start, "title", &format!("{title}: more is better"));
    for (at, row) in rows.into_iter().enumerate() {
        let corner = ((at / lines) as f64 * COLUMN, 44.0 + (at % lines) as f64 * cell_height);
        row_of_bars(&mut svg, results, setting, row, corner);
    }
    let file = format!("rates-{}.svg", setting.name());
    Picture { setting, svg: svg.finish(&title), title, file }
}

fn row_of_bars(
    svg: &mut Svg,
    results: &Results,
    setting: Setting,
    row: &'static Row,
    (left, top): (f64, f64),
) {
    svg.text((left + 12.0, top + 14.0), Anchor::Start, "row", row.title);
    svg.text((left + COLUMN - 12.0, top + 14.0), Anchor::End, "small", row.unit);
    let rates = results.engines.iter().map(|engine| results.cell(setting, row, &engine.name));
    let rates: Vec<_> = rates.map(|cell| (cell.rate(), cell.is_cut())).collect();
    let most = rates.iter().filter_map(|(rate, _)| *rate).fold(1e-9, f64::max);
    let first = rates.first().and_then(|(rate, _)| *rate);
    let room = COLUMN - 24.0 - NAMES - VALUES;
    for (place, (engine, (rate, cut))) in results.engines.iter().zip(&rates).enumerate() {
        let y = top + 22.0 + BAR_STEP * place as f64;
        let x = left + 12.0 + NAMES;
        svg.text((x - 6.0, y + BAR - 2.5), Anchor::End, "", &engine.title);
        let Some(rate) = *rate else {
            svg.text((x + 2.0, y + BAR - 2.5), Anchor::Start, "small", "–");
            continue;
        };
        let length = room * rate / most;
        svg.bar((x, y), (length, BAR), colour(&engine.name));
        let ratio = first.map_or(String::new(), |first| format!(" · {}", times(rate / first)));
        let cut = if *cut { " ✂" } else { "" };
        let label = format!("{}{cut}{ratio}", short(rate));
        svg.text((x + length + 6.0, y + BAR - 2.5), Anchor::Start, "small", &label);
    }
}

/// One line over time: what it shows, whose it is, and its points.
struct Panel<'a> {
    title: String,
    lines: Vec<(&'a str, &'a [Point])>,
    value: fn(&Point, f64) -> f64,
    label: fn(f64) -> String,
    logarithmic: bool,
}

const PANEL_HEIGHT: f64 = 190.0;
const PLOT_LEFT: f64 = 70.0;
const PLOT_RIGHT: f64 = WIDTH - 20.0;

/// Rates and p99 of a row over time, and those of the writer beside it; of the first round.
fn over_time(results: &Results, setting: Setting, row: &'static Row) -> Option<Picture> {
    let first = |engine: &str| {
        let of = |taken: &&crate::results::Taken| {
            (&*taken.setting, &*taken.row, &*taken.engine) == (setting.name(), row.name, engine)
                && taken.measurement.as_ref().is_some_and(|taken| !taken.rate.points.is_empty())
        };
        results.taken.iter().find(of)?.measurement.as_ref()
    };
    let engines = results.engines.iter();
    let found: Vec<(&EngineOf, &Measurement)> =
        engines.filter_map(|engine| Some((engine, first(&engine.name)?))).collect();
    let lines = |of: fn(&Measurement) -> Option<&Rate>| -> Vec<(&str, &[Point])> {
        found
            .iter()
            .filter_map(|(engine, taken)| Some((&*engine.name, &*of(taken)?.points)))
            .collect()
    };
    if found.is_empty() {
        return None;
    }
    let per_second: fn(&Point, f64) -> f64 = |point, seconds| point.1 as f64 / seconds;
    let mut panels = vec![
        Panel {
            title: row.unit.to_owned(),
            lines: lines(|taken| Some(&taken.rate)),
            value: per_second,
            label: short,
            logarithmic: false,
        },
        Panel {
            title: format!("p99 of a {}", one(row.unit)),
            lines: lines(|taken| Some(&taken.rate)),
            value: |point, _| point.2 as f64,
            label: duration,
            logarithmic: true,
        },
    ];
    let puts = lines(|taken| taken.writer.as_ref());
    if !puts.is_empty() {
        panels.push(Panel {
            title: "puts/s of the writer".to_owned(),
            lines: puts,
            value: per_second,
            label: short,
            logarithmic: false,
        });
    }
    let title = format!("{}, {}", row.title, setting.title().0.to_lowercase());
    let mut svg = Svg::new(WIDTH, 70.0 + PANEL_HEIGHT * panels.len() as f64);
    svg.text((12.0, 24.0), Anchor::Start, "title", &format!("{title}: over time"));
    let mut x = 12.0;
    for (engine, _) in &found {
        let name = &engine.title;
        svg.bar((x, 38.0), (12.0, 12.0), colour(&engine.name));
        svg.text((x + 17.0, 48.0), Anchor::Start, "", name);
        x += 34.0 + 7.2 * name.len() as f64;
    }
    for (at, panel) in panels.iter().enumerate() {
        draw(&mut svg, panel, 62.0 + PANEL_HEIGHT * at as f64);
    }
    let file = format!("time-{}-{}.svg", row.name.replace('_', "-"), setting.name());
    Some(Picture { setting, svg: svg.finish(&title), title, file })
}

/// "gets/s" as "get".
fn one(unit: &str) -> &str {
    unit.trim_end_matches("/s").trim_end_matches('s')
}

fn draw(svg: &mut Svg, panel: &Panel, top: f64) {
    let base = top + PANEL_HEIGHT - 30.0;
    let height = PANEL_HEIGHT - 56.0;
    svg.text((12.0, top + 14.0), Anchor::Start, "row", &panel.title);
    let values = |points: &[Point]| -> Vec<(f64, f64)> {
        let mut from = 0.0;
        let value = |point: &Point| {
            let value = (panel.value)(point, (point.0 - from).max(1e-6));
            from = point.0;
            (point.0, value)
        };
        points.iter().map(value).collect()
    };
    let lines: Vec<_> =
        panel.lines.iter().map(|(engine, points)| (*engine, values(points))).collect();
    let all = || lines.iter().flat_map(|(_, values)| values);
    let end = all().map(|(x, _)| *x).fold(1e-6, f64::max);
    let most = all().map(|(_, y)| *y).fold(1e-6, f64::max);
    let least = all().map(|(_, y)| *y).filter(|y| *y > 0.0).fold(most, f64::min);
    // Whole decades, or from nothing.
    let (low, high) = if panel.logarithmic {
        (least.log10().floor(), most.log10().ceil().max(least.log10().floor() + 1.0))
    } else {
        (0.0, most)
    };
    let y_of = |y: f64| {
        let y = if panel.logarithmic { y.max(1e-6).log10() } else { y };
        base - height * ((y - low) / (high - low)).clamp(0.0, 1.0)
    };
    let marks: Vec<f64> = if panel.logarithmic {
        (low as i32..=high as i32).map(|power| 10_f64.powi(power)).collect()
    } else {
        vec![0.0, most / 2.0, most]
    };
    for mark in marks {
        svg.rule((PLOT_LEFT, y_of(mark)), (PLOT_RIGHT, y_of(mark)));
        svg.text((PLOT_LEFT - 6.0, y_of(mark) + 4.0), Anchor::End, "small", &(panel.label)(mark));
    }
    let x_of = |x: f64| PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * x / end;
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let label = format!("{:.2} s", end * share);
        svg.text((x_of(end * share), base + 16.0), Anchor::Middle, "small", &label);
    }
    for (engine, values) in &lines {
        let points: Vec<_> = values.iter().map(|(x, y)| (x_of(*x), y_of(*y))).collect();
        svg.line(&points, colour(engine));
    }
}
