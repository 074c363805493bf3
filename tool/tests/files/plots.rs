//! Pictures are whole: something is drawn, labels have room, nothing is cut off.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use mlff_student_tool::plot::{self, Curve, Labels, Logarithmic};

const LABELS: Labels<'static> = Labels {
    title: "A title, ΔE² ≤ 1 Å",
    x: "horizontal (eV/Å)",
    y: "vertical (eV/Å)",
    notes: &[],
};

/// Width, and whether each pixel is not white, row by row.
fn ink(path: &Path) -> (usize, Vec<bool>) {
    let decoder = png::Decoder::new(BufReader::new(File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.height), (png::ColorType::Rgb, 1200));
    let ink = pixels.chunks(3).map(|pixel| pixel != [255; 3]).collect();
    (info.width as usize, ink)
}

fn check(draw: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plot.png");
    draw(&path);
    let (width, ink) = ink(&path);
    let height = ink.len() / width;
    let any = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        rows.clone().any(|row| columns.clone().any(|column| ink[row * width + column]))
    };
    for (what, drawn) in [
        ("title", any(20..90, 300..width - 300)),
        ("name of the horizontal axis", any(height - 80..height - 20, 300..width - 300)),
        ("ticks of the horizontal axis", any(height - 140..height - 90, 150..width)),
        ("data", any(200..height - 200, 300..width - 100)),
    ] {
        assert!(drawn, "{what} missing");
    }
    for (what, cut) in [
        ("top", any(0..10, 0..width)),
        ("bottom", any(height - 10..height, 0..width)),
        ("left", any(0..height, 0..10)),
        ("right", any(0..height, width - 8..width)),
    ] {
        assert!(!cut, "ink at the border: {what}");
    }
}

#[test]
fn few_and_many_points_are_drawn() {
    let mut random = fastrand::Rng::with_seed(1);
    for count in [10, 200_000] {
        let points: Vec<(f64, f64)> = (0..count)
            .map(|_| {
                let x = 20.0 * (random.f64() - 0.5);
                (x, x + random.f64() - 0.5)
            })
            .collect();
        check(|path| plot::parity(path, LABELS, &points).unwrap());
        let errors: Vec<f64> = points.iter().map(|(x, y)| y - x).collect();
        check(|path| plot::histogram(path, LABELS, &errors).unwrap());
    }
}

#[test]
fn bars_have_room_for_long_names() {
    let names = ["trajectory", "a rather long name of a group", "300 – 400 K"];
    let bars: Vec<(String, f64)> =
        names.iter().zip(1..).map(|(name, k)| (name.to_string(), 0.02 * f64::from(k))).collect();
    check(|path| plot::bars(path, LABELS, &bars).unwrap());
}

#[test]
fn curves_are_drawn_on_all_kinds_of_axes() {
    let curve = |name: &str, scale: f64| Curve {
        name: name.into(),
        points: (1..200).map(|k| (f64::from(k) * 100.0, scale / f64::from(k).sqrt())).collect(),
    };
    let curves = [curve("training, force MAE", 0.5), curve("held out, force MAE", 0.7)];
    for (x, y) in [(false, false), (false, true), (true, false), (true, true)] {
        check(|path| plot::curves(path, LABELS, Logarithmic { x, y }, &curves).unwrap());
    }
    if let Some(path) = std::env::var_os("MLFF_PLOT") {
        let logarithmic = Logarithmic { x: true, y: true };
        plot::curves(Path::new(&path), LABELS, logarithmic, &curves).unwrap();
    }
}

#[test]
fn nothing_and_oddities_are_drawn_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = &dir.path().join("plot.png");
    let odd = [(f64::NAN, 1.0), (1.0, f64::INFINITY), (-1.0, -1.0)];
    let curves = [Curve { name: String::new(), points: odd.to_vec() }];
    for points in [&[][..], &odd, &[(2.0, 2.0); 3], &[(1e300, -1e300)]] {
        plot::parity(path, LABELS, points).unwrap();
        plot::histogram(path, LABELS, &points.iter().map(|p| p.0).collect::<Vec<_>>()).unwrap();
    }
    plot::bars(path, LABELS, &[]).unwrap();
    plot::bars(path, LABELS, &[("nothing".into(), 0.0), ("odd".into(), f64::NAN)]).unwrap();
    plot::curves(path, LABELS, Logarithmic { x: true, y: true }, &curves).unwrap();
    plot::curves(path, LABELS, Logarithmic::default(), &[]).unwrap();
}

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    let error = plot::bars(Path::new("/dev/null/plot.png"), LABELS, &[]).unwrap_err();
    assert!(error.to_string().contains("/dev/null/plot.png: expected a place"), "{error}");
}
