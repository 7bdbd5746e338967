//! Pictures that people upload: decoded within bounds, made small, and written anew, so that nothing
//! of what was sent is ever served, neither its metadata nor whatever else stands in it.
//!
//! No clock but the deadline, no socket, no database.

use std::io::Cursor;
use std::time::{Duration, Instant};

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::imageops::{self, FilterType};
use image::metadata::LoopCount;
use image::{
    AnimationDecoder, DynamicImage, Frames, ImageDecoder, ImageError, ImageFormat, Limits, Rgba,
    RgbaImage,
};
use memchr::memmem;
use png::{BitDepth, BlendOp, ColorType, Compression, DisposeOp, Encoder};

/// Longest upload, in bytes.
pub const UPLOAD_BYTES_MAX: usize = 256 * 1024;

/// Longest picture as it is kept, in bytes.
pub const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Most pixels across or down of what is uploaded.
pub const SIDE_MAX: u32 = 2_048;

/// Most frames of an animation.
pub const FRAMES_MAX: usize = 120;

/// Most pixels of all frames of an animation.
const ANIMATED_PIXELS_MAX: u64 = 48 * 1024 * 1024;

/// Most memory that a decoder may take, in bytes: a picture of 16-bit colour, and what it is made from.
const DECODER_BYTES_MAX: u64 = 96 * 1024 * 1024;

/// Most pixels across or down of what is kept. An animation that is too heavy is made smaller yet.
const KEPT_SIDES: [u32; 3] = [128, 96, 64];

/// Passes over a JPEG. An honest progressive one has about ten; each costs as much as a whole picture.
const SCANS_MAX: usize = 64;

/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Browsers show a frame that is to last less than this for as long as [`FRAME_MS_USUAL`].
const FRAME_MS_MIN: u32 = 20;
const FRAME_MS_USUAL: u32 = 100;

/// A picture as it is kept: a PNG, animated if what was uploaded is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub png: Vec<u8>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Why an upload is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPicture {
    /// It cannot be read, or not to its end.
    #[error("This is no PNG, WebP, GIF or JPEG picture that can be read to its end.")]
    Unreadable,
    /// It has too many pixels.
    #[error("At most {0} × {0} pixels, please; fewer if it moves.")]
    TooManyPixels(u32),
    /// It has too many frames.
    #[error("At most {0} frames, please.")]
    TooManyFrames(usize),
    /// Too much happens in it for what is kept.
    #[error("This animation is too heavy: make it shorter, smaller or calmer.")]
    TooHeavy,
}

/// Reads an upload and makes of it what is kept.
///
/// # Errors
/// When it is no picture that we take.
pub fn read(upload: &[u8]) -> Result<Picture, BadPicture> {
    let until = Instant::now() + DEADLINE;
    let moving = decode(upload, until)?;
    for side in KEPT_SIDES {
        let png = moving.fitted(side).encode();
        if Instant::now() > until {
            return Err(BadPicture::TooHeavy);
        }
        if png.png.len() <= KEPT_BYTES_MAX {
            return Ok(png);
        }
    }
    Err(BadPicture::TooHeavy)
}

/// Frames one after the other, all of the same size. A still picture has one.
struct Moving {
    frames: Vec<(RgbaImage, u32)>,
    /// How often it is played; 0 for without end.
    plays: u32,
}

fn decode(upload: &[u8], until: Instant) -> Result<Moving, BadPicture> {
    let unreadable = |_| BadPicture::Unreadable;
    let from = Cursor::new(upload);
    let format = image::guess_format(upload).map_err(unreadable)?;
    if format == ImageFormat::Png {
        let decoder = PngDecoder::with_limits(from, limits()).map_err(told)?;
        if !decoder.is_apng().map_err(told)? {
            return still(decoder);
        }
        let size = decoder.dimensions();
        return frames(decoder.apng().map_err(told)?, size, until);
    }
    if format == ImageFormat::Gif {
        let decoder = within(GifDecoder::new(from).map_err(told)?)?;
        let size = decoder.dimensions();
        return frames(decoder, size, until);
    }
    if format == ImageFormat::WebP {
        let decoder = within(WebPDecoder::new(from).map_err(told)?)?;
        if !decoder.has_animation() {
            return still(decoder);
        }
        let size = decoder.dimensions();
        return frames(decoder, size, until);
    }
    if format == ImageFormat::Jpeg {
        check_jpeg(upload)?;
        return still(JpegDecoder::new(from).map_err(told)?);
    }
    Err(BadPicture::Unreadable)
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    limits
}

fn within<D: ImageDecoder>(mut decoder: D) -> Result<D, BadPicture> {
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(BadPicture::Unreadable);
    }
    decoder.set_limits(limits()).map_err(told)?;
    Ok(decoder)
}

fn told(error: ImageError) -> BadPicture {
    match error {
        ImageError::Limits(_) => BadPicture::TooManyPixels(SIDE_MAX),
        ImageError::Decoding(_)
        | ImageError::Encoding(_)
        | ImageError::Parameter(_)
        | ImageError::Unsupported(_)
        | ImageError::IoError(_) => BadPicture::Unreadable,
    }
}

/// A JPEG's decoder takes what is cut off for grey, and as many passes as there are.
fn check_jpeg(upload: &[u8]) -> Result<(), BadPicture> {
    let last_scan = memmem::rfind(upload, b"\xFF\xDA");
    let end = memmem::rfind(upload, b"\xFF\xD9");
    if last_scan.is_none() || end < last_scan {
        return Err(BadPicture::Unreadable);
    }
    if memmem::find_iter(upload, b"\xFF\xDA").count() > SCANS_MAX {
        return Err(BadPicture::TooHeavy);
    }
    Ok(())
}

fn still(decoder: impl ImageDecoder) -> Result<Moving, BadPicture> {
    let mut decoder = within(decoder)?;
    // Which way up it is stands in the metadata, which goes.
    let way_up = decoder.orientation().map_err(told)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(told)?;
    image.apply_orientation(way_up);
    Ok(Moving {
        frames: vec![(image.into_rgba8(), 0)],
        plays: 0,
    })
}

fn frames<'a>(
    decoder: impl AnimationDecoder<'a>,
    (width, height): (u32, u32),
    until: Instant,
) -> Result<Moving, BadPicture> {
    let plays = match decoder.loop_count() {
        LoopCount::Infinite => 0,
        LoopCount::Finite(count) => count.get(),
    };
    let frames: Frames<'_> = decoder.into_frames();
    let (mut kept, mut pixels) = (Vec::new(), 0);
    for frame in frames {
        let frame = frame.map_err(told)?;
        pixels += u64::from(width) * u64::from(height);
        if pixels > ANIMATED_PIXELS_MAX {
            return Err(BadPicture::TooManyPixels(SIDE_MAX));
        }
        if kept.len() == FRAMES_MAX {
            return Err(BadPicture::TooManyFrames(FRAMES_MAX));
        }
        if Instant::now() > until {
            return Err(BadPicture::TooHeavy);
        }
        let lasts = Duration::from(frame.delay()).as_millis();
        // What is far larger than is ever kept need not be held until the last frame is there.
        let image = fitted(&frame.into_buffer(), KEPT_SIDES[0]);
        kept.push((image, u32::try_from(lasts).unwrap_or(u32::MAX)));
    }
    if kept.is_empty() {
        return Err(BadPicture::Unreadable);
    }
    Ok(Moving {
        frames: kept,
        plays,
    })
}

impl Moving {
    fn fitted(&self, side: u32) -> Self {
        let frames = self.frames.iter();
        Self {
            frames: frames
                .map(|(image, lasts)| (fitted(image, side), *lasts))
                .collect(),
            plays: self.plays,
        }
    }

    fn encode(&self) -> Picture {
        let steps = self.steps();
        let (width, height) = self.frames[0].0.dimensions();
        let mut png = Vec::new();
        write(&mut png, (width, height), &steps, self.plays)
            .expect("frames within the picture can be written into memory");
        Picture { png, width, height }
    }

    /// What changes from each frame to the next.
    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut before: Option<&RgbaImage> = None;
        for (image, lasts) in &self.frames {
            let lasts = if *lasts < FRAME_MS_MIN {
                FRAME_MS_USUAL
            } else {
                *lasts
            };
            let all = Area {
                x: 0,
                y: 0,
                width: image.width(),
                height: image.height(),
            };
            match before.map_or(Some(all), |before| Area::changed(before, image)) {
                Some(area) => steps.push(Step {
                    pixels: area.of(image),
                    area,
                    lasts,
                }),
                // Nothing changes: what is there stays for longer.
                None => {
                    if let Some(last) = steps.last_mut() {
                        last.lasts = last.lasts.saturating_add(lasts);
                    }
                }
            }
            before = Some(image);
        }
        steps
    }
}

/// A part of a picture that is written over what was there.
struct Step {
    area: Area,
    pixels: Vec<u8>,
    /// How long it stays, in milliseconds.
    lasts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Area {
    /// The smallest that holds every pixel in which two pictures differ.
    fn changed(one: &RgbaImage, other: &RgbaImage) -> Option<Self> {
        let differ = one.enumerate_pixels().filter(|(x, y, pixel)| {
            let pixel = *pixel;
            pixel != other.get_pixel(*x, *y)
        });
        let corners = differ.fold(None, |corners, (x, y, _)| {
            let (left, top, right, bottom) = corners.unwrap_or((x, y, x, y));
            Some((left.min(x), top.min(y), right.max(x), bottom.max(y)))
        });
        corners.map(|(left, top, right, bottom)| Self {
            x: left,
            y: top,
            width: right - left + 1,
            height: bottom - top + 1,
        })
    }

    fn of(self, image: &RgbaImage) -> Vec<u8> {
        imageops::crop_imm(image, self.x, self.y, self.width, self.height)
            .to_image()
            .into_raw()
    }
}

fn write(
    out: &mut Vec<u8>,
    (width, height): (u32, u32),
    steps: &[Step],
    plays: u32,
) -> Result<(), png::EncodingError> {
    let mut encoder = Encoder::new(out, width, height);
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Balanced);
    if steps.len() == 1 {
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&steps[0].pixels)?;
        return writer.finish();
    }
    encoder.set_animated(u32::try_from(steps.len()).unwrap_or(u32::MAX), plays)?;
    encoder.set_blend_op(BlendOp::Source)?;
    encoder.set_dispose_op(DisposeOp::None)?;
    let mut writer = encoder.write_header()?;
    for step in steps {
        // Both together have to fit at any time.
        writer.reset_frame_position()?;
        writer.set_frame_dimension(step.area.width, step.area.height)?;
        writer.set_frame_position(step.area.x, step.area.y)?;
        writer.set_frame_delay(u16::try_from(step.lasts).unwrap_or(u16::MAX), 1_000)?;
        writer.write_image_data(&step.pixels)?;
    }
    writer.finish()
}

/// A picture that is nowhere longer than `side`.
fn fitted(image: &RgbaImage, side: u32) -> RgbaImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return image.clone();
    }
    let scaled = |length: u32| {
        let length =
            (u64::from(length) * u64::from(side) + u64::from(longer) / 2) / u64::from(longer);
        u32::try_from(length).unwrap_or(side).max(1)
    };
    // What cannot be seen must not colour what can.
    let mut weighed = image.clone();
    for pixel in weighed.pixels_mut() {
        weigh(pixel);
    }
    let mut small = imageops::resize(
        &weighed,
        scaled(width),
        scaled(height),
        FilterType::CatmullRom,
    );
    for pixel in small.pixels_mut() {
        unweigh(pixel);
    }
    small
}

fn weigh(Rgba([red, green, blue, alpha]): &mut Rgba<u8>) {
    for colour in [red, green, blue] {
        let weighed = (u16::from(*colour) * u16::from(*alpha) + 127) / 255;
        *colour = u8::try_from(weighed).unwrap_or(u8::MAX);
    }
}

fn unweigh(Rgba([red, green, blue, alpha]): &mut Rgba<u8>) {
    let weight = u16::from(*alpha).max(1);
    for colour in [red, green, blue] {
        let full = (u16::from(*colour) * 255 + weight / 2) / weight;
        *colour = u8::try_from(full).unwrap_or(u8::MAX);
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifEncoder;
    use image::{Delay, Frame};

    use super::*;

    /// A square of one colour within nothing.
    fn square(side: u32, at: u32, colour: [u8; 4]) -> RgbaImage {
        RgbaImage::from_fn(side, side, |x, y| {
            let within = (at..at + side / 4).contains(&x) && (at..at + side / 4).contains(&y);
            Rgba(if within { colour } else { [0; 4] })
        })
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).expect("it is written");
        bytes.into_inner()
    }

    fn gif(count: u32, side: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for number in 0..count {
            let image = square(side, number % (side / 2), [200, 30, 90, 255]);
            let delay = Delay::from_saturating_duration(Duration::from_millis(40));
            encoder
                .encode_frame(Frame::from_parts(image, 0, 0, delay))
                .expect("it is written");
        }
        drop(encoder);
        bytes
    }

    /// The frames of what is kept, as a decoder sees them.
    fn shown(picture: &Picture) -> Vec<Frame> {
        let decoder = PngDecoder::new(Cursor::new(&picture.png)).expect("a PNG");
        let frames = decoder.apng().expect("an animation").into_frames();
        frames.collect_frames().expect("whole frames")
    }

    /// A PNG that says how large it is and has next to nothing in it.
    fn bomb(side: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, side, side);
        encoder.set_color(ColorType::Grayscale);
        encoder.set_depth(BitDepth::One);
        let mut writer = encoder.write_header().expect("a head");
        writer
            .write_chunk(png::chunk::IDAT, &[0x78, 0x9C, 3, 0, 0, 0, 0, 1])
            .expect("a chunk");
        drop(writer);
        bytes
    }

    #[test]
    fn every_kind_is_kept_as_a_png_of_its_size() {
        let image = DynamicImage::from(square(100, 20, [255, 160, 0, 255]));
        for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
            let picture = read(&encoded(&image, format)).expect("a picture");
            assert_eq!((picture.width, picture.height), (100, 100), "{format:?}");
            let seen = image::load_from_memory_with_format(&picture.png, ImageFormat::Png);
            let seen = seen.expect("a PNG").into_rgba8();
            assert_eq!(
                seen.get_pixel(30, 30),
                &Rgba([255, 160, 0, 255]),
                "{format:?}"
            );
            assert_eq!(seen.get_pixel(0, 0).0[3], 0, "{format:?}");
        }
        let opaque = DynamicImage::from(image.into_rgb8());
        let picture = read(&encoded(&opaque, ImageFormat::Jpeg)).expect("a picture");
        assert_eq!((picture.width, picture.height), (100, 100));
    }

    #[test]
    fn what_is_large_is_made_small_without_a_dark_edge() {
        let image = RgbaImage::from_fn(1_600, 800, |x, _| {
            Rgba(if x < 800 {
                [255, 255, 255, 255]
            } else {
                [0; 4]
            })
        });
        let picture = read(&encoded(&image.into(), ImageFormat::Png)).expect("a picture");
        assert_eq!((picture.width, picture.height), (128, 64));
        let seen = image::load_from_memory(&picture.png)
            .expect("a PNG")
            .into_rgba8();
        for pixel in seen.pixels().filter(|pixel| pixel.0[3] > 0) {
            assert!(pixel.0[0] > 240, "{pixel:?}");
        }
    }

    #[test]
    fn what_moves_goes_on_moving() {
        let picture = read(&gif(5, 200)).expect("a picture");
        assert_eq!((picture.width, picture.height), (128, 128));
        let frames = shown(&picture);
        assert_eq!(frames.len(), 5);
        for (number, frame) in frames.iter().enumerate() {
            assert_eq!(Duration::from(frame.delay()).as_millis(), 40);
            let whole = square(200, u32::try_from(number).expect("few"), [200, 30, 90, 255]);
            let expected = fitted(&whole, 128);
            assert!(frame.buffer() == &expected, "frame {number} is another");
        }
        // And again, from the animated PNG that we have made.
        let again = read(&picture.png).expect("a picture");
        assert_eq!(shown(&again).len(), 5);
    }

    #[test]
    fn frames_that_change_nothing_only_last_longer() {
        let still = square(40, 4, [1, 2, 3, 255]);
        let moving = Moving {
            frames: vec![
                (still.clone(), 0),
                (still.clone(), 50),
                (square(40, 8, [9; 4]), 50),
            ],
            plays: 0,
        };
        let lasts: Vec<_> = moving.steps().iter().map(|step| step.lasts).collect();
        assert_eq!(lasts, [FRAME_MS_USUAL + 50, 50]);
        assert_eq!(Area::changed(&still, &still), None);
    }

    #[test]
    fn nothing_of_what_was_sent_is_served() {
        let image = DynamicImage::from(square(64, 8, [255, 0, 0, 255]));
        let mut png = encoded(&image, ImageFormat::Png);
        let secret = b"GPS 48.85 N 2.29 E <script>";
        png.extend_from_slice(secret);
        let picture = read(&png).expect("a picture");
        assert!(memmem::find(&picture.png, &secret[..4]).is_none());
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let image = DynamicImage::from(square(64, 8, [255, 0, 0, 255]));
        let opaque = DynamicImage::from(image.to_rgb8());
        let mut torn = vec![gif(3, 64)];
        for (image, format) in [
            (&image, ImageFormat::Png),
            (&image, ImageFormat::WebP),
            (&opaque, ImageFormat::Jpeg),
        ] {
            torn.push(encoded(image, format));
        }
        for whole in &mut torn {
            assert!(read(whole).is_ok());
            for part in [10, whole.len() / 2, whole.len() * 3 / 4] {
                assert_eq!(read(&whole[..part]), Err(BadPicture::Unreadable));
            }
        }
        let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
        let bmp = [&b"BM"[..], &[0; 100]].concat();
        for nothing in [
            &b""[..],
            svg,
            b"GIF89a",
            b"\x89PNG\r\n\x1a\n",
            &bmp,
            &[0; 999],
        ] {
            assert_eq!(read(nothing), Err(BadPicture::Unreadable));
        }
    }

    #[test]
    fn what_would_take_too_much_is_refused_before_it_does() {
        for side in [30_000, SIDE_MAX + 1] {
            assert_eq!(read(&bomb(side)), Err(BadPicture::TooManyPixels(SIDE_MAX)));
        }
        let many = u32::try_from(FRAMES_MAX).expect("few") + 1;
        assert_eq!(
            read(&gif(many, 16)),
            Err(BadPicture::TooManyFrames(FRAMES_MAX))
        );
        assert!(read(&gif(many - 1, 16)).is_ok());
        let mut scans = encoded(&DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
        let end = scans.len() - 2;
        scans.splice(end..end, b"\xFF\xDA".repeat(SCANS_MAX));
        assert_eq!(read(&scans), Err(BadPicture::TooHeavy));
    }

    #[test]
    fn an_animation_that_is_too_heavy_is_made_smaller_or_refused() {
        // Noise cannot be made shorter.
        let mut seed = 1_u32;
        let mut noise = |side: u32| {
            RgbaImage::from_fn(side, side, |_, _| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let [red, green, blue, _] = seed.to_be_bytes();
                Rgba([red, green, blue, 255])
            })
        };
        let frames = (0..8).map(|_| (noise(128), 50)).collect();
        let moving = Moving { frames, plays: 0 };
        assert!(moving.encode().png.len() > KEPT_BYTES_MAX);
        assert!(moving.fitted(64).encode().png.len() <= KEPT_BYTES_MAX);
    }
}
