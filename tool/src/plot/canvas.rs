//! A picture in memory that `plotters` draws on, and its PNG file.
//!
//! `plotters` can render text itself, but only with system fonts or with crates under licences that
//! do not go with GPLv2. So text is drawn here, in an embedded font: DejaVu Sans (licence beside
//! it), reduced by `pyftsubset --no-hinting --layout-features= --unicodes=…` to Latin and Greek
//! letters, raised and lowered digits and the signs of mathematics that plots need.

use std::convert::Infallible;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use fontdue::{Font, FontSettings};
use once_cell::sync::OnceCell;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};

use mlff_student::error::{Error, ErrorKind, Result};

const FONT: &[u8] = include_bytes!("DejaVuSans.ttf");

type Drawn<T> = std::result::Result<T, DrawingErrorKind<Infallible>>;

/// Red, green and blue of each pixel, row by row, white at first.
pub(super) struct Picture {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

/// Draws on a picture.
pub(super) struct Canvas<'a> {
    picture: &'a mut Picture,
    font: &'static Font,
}

impl Picture {
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![255; 3 * width as usize * height as usize] }
    }

    pub(super) fn canvas(&mut self) -> Result<Canvas<'_>> {
        Ok(Canvas { picture: self, font: font()? })
    }

    /// Writes a PNG file; an existing one is replaced.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let write = || -> std::result::Result<(), png::EncodingError> {
            let file = BufWriter::new(File::create(path)?);
            let mut encoder = png::Encoder::new(file, self.width, self.height);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&self.pixels)?;
            writer.finish()
        };
        write().map_err(|error| {
            let message = format!(
                "{}: expected a place to write a picture: {error}; check the folder and the space \
                 left",
                path.display()
            );
            Error::new(ErrorKind::Io, message)
        })
    }
}

fn font() -> Result<&'static Font> {
    static PARSED: OnceCell<Font> = OnceCell::new();
    PARSED.get_or_try_init(|| {
        Font::from_bytes(FONT, FontSettings::default()).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("the embedded font cannot be read: {error}"))
        })
    })
}

impl Canvas<'_> {
    /// Width, and heights above and below the base line, in pixels.
    fn extent(&self, text: &str, size: f32) -> (f32, f32, f32) {
        let width = text.chars().map(|c| self.font.metrics(c, size).advance_width).sum();
        let line = self.font.horizontal_line_metrics(size);
        line.map_or((width, size, 0.0), |line| (width, line.ascent, -line.descent))
    }
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.picture.width, self.picture.height)
    }

    fn ensure_prepared(&mut self) -> Drawn<()> {
        Ok(())
    }

    fn present(&mut self) -> Drawn<()> {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn<()> {
        let (width, height) = (self.picture.width as usize, self.picture.height as usize);
        if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y))
            && x < width
            && y < height
            && let Some(pixel) =
                self.picture.pixels.get_mut(3 * (y * width + x)..).map(|p| p.iter_mut())
        {
            let (red, green, blue) = color.rgb;
            for (value, new) in pixel.zip([red, green, blue]) {
                let mixed = f64::from(*value) * (1.0 - color.alpha) + f64::from(new) * color.alpha;
                *value = mixed.round() as u8;
            }
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        position: BackendCoord,
    ) -> Drawn<()> {
        let size = style.size() as f32;
        let (width, above, below) = self.extent(text, size);
        let anchor = style.anchor();
        let mut pen = match anchor.h_pos {
            HPos::Left => 0.0,
            HPos::Center => -0.5 * width,
            HPos::Right => -width,
        };
        let base = match anchor.v_pos {
            VPos::Top => above,
            VPos::Center => 0.5 * (above - below),
            VPos::Bottom => -below,
        };
        let (color, transform) = (style.color(), style.transform());
        for character in text.chars() {
            let (metrics, coverage) = self.font.rasterize(character, size);
            let left = pen.round() as i32 + metrics.xmin;
            let top = base.round() as i32 - metrics.ymin - metrics.height as i32;
            for (row, values) in coverage.chunks_exact(metrics.width.max(1)).enumerate() {
                for (column, &value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
                    let (x, y) = transform.transform(left + column as i32, top + row as i32);
                    let alpha = color.alpha * f64::from(value) / 255.0;
                    let color = BackendColor { alpha, ..color };
                    self.draw_pixel((position.0 + x, position.1 + y), color)?;
                }
            }
            pen += metrics.advance_width;
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(&self, text: &str, style: &S) -> Drawn<(u32, u32)> {
        let (width, above, below) = self.extent(text, style.size() as f32);
        Ok((width.ceil() as u32, (above + below).ceil() as u32))
    }
}
