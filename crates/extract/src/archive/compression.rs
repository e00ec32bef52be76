//! How a layer is packed, found out from its first bytes, and one stream of what it unpacks to.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use oci::LayerFormat;

use super::stop::Stop;
use crate::Limits;

/// The unpacked bytes of a layer. Each is produced once; skipping them copies nothing.
pub(crate) type Unpacked<'a> = BufReader<Bounded<'a>>;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// A tar, packed like this.
    Layer(LayerFormat),
    /// Something that we cannot read, by its name.
    Other(&'static str),
}

/// Looks at the first bytes (RFC 1952, RFC 8878, POSIX ustar) and starts unpacking.
///
/// # Errors
/// [`Stop`] if not even the first bytes can be read.
pub(crate) fn open<'a>(layer: impl Read + 'a, limits: &Limits) -> Result<(Packing, Unpacked<'a>), Stop> {
    let stored = Rc::new(Cell::new(0));
    let counted = Counted { inner: layer, stored: Rc::clone(&stored) };
    let mut input =
        BufReader::with_capacity(INPUT_BYTES, Prefixed { first: Vec::new(), at: 0, rest: counted });
    let first = peek(input.get_mut())?;
    let packing = Packing::of(&first);
    input.get_mut().first = first;
    let decoder: Box<dyn Read + 'a> = match packing {
        Packing::Layer(LayerFormat::TarGzip) => Box::new(MultiGzDecoder::new(input)),
        Packing::Layer(LayerFormat::TarZstd) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
        Packing::Layer(LayerFormat::Tar) | Packing::Other(_) => Box::new(input),
    };
    let bounded = Bounded {
        inner: decoder,
        stored,
        unpacked: 0,
        bytes_max: limits.unpacked_bytes_max,
        ratio_max: limits.ratio_max,
        ratio_from: limits.ratio_from_bytes,
    };
    Ok((packing, BufReader::with_capacity(OUTPUT_BYTES, bounded)))
}

impl Packing {
    fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Layer(LayerFormat::TarGzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Self::Layer(LayerFormat::TarZstd)
            }
            [b'B', b'Z', b'h', ..] => Self::Other("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Other("xz"),
            // A blob of nothing unpacks to nothing, as does a tar without entries.
            [] => Self::Layer(LayerFormat::Tar),
            block if block.iter().all(|byte| *byte == 0) => Self::Layer(LayerFormat::Tar),
            // A part of a block may be a truncated tar; if it is not, that is no worse.
            block if block.get(257..262) == Some(b"ustar") => Self::Layer(LayerFormat::Tar),
            block => match <&[u8; 512]>::try_from(block) {
                Ok(block) if super::tar::checksum_holds(block) => Self::Layer(LayerFormat::Tar),
                _ => Self::Other("no archive"),
            },
        }
    }
}

/// The first block, or less if there is less.
fn peek(input: &mut impl Read) -> Result<Vec<u8>, Stop> {
    let mut first = Vec::with_capacity(512);
    input.take(512).read_to_end(&mut first)?;
    Ok(first)
}

/// A reader whose first bytes were taken out for a look.
struct Prefixed<R> {
    first: Vec<u8>,
    at: usize,
    rest: R,
}

impl<R: Read> Read for Prefixed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut left = self.first.get(self.at..).unwrap_or_default();
        if left.is_empty() {
            return self.rest.read(into);
        }
        let count = left.read(into)?;
        self.at += count;
        Ok(count)
    }
}

/// Counts the stored bytes.
struct Counted<R> {
    inner: R,
    stored: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.stored.set(self.stored.get() + count as u64);
        Ok(count)
    }
}

/// Counts the unpacked bytes, and stops where they are too many.
pub(crate) struct Bounded<'a> {
    inner: Box<dyn Read + 'a>,
    stored: Rc<Cell<u64>>,
    unpacked: u64,
    bytes_max: u64,
    ratio_max: u64,
    ratio_from: u64,
}

impl Bounded<'_> {
    /// How many bytes were unpacked.
    pub(crate) fn unpacked(&self) -> u64 {
        self.unpacked
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.unpacked += count as u64;
        if self.unpacked > self.bytes_max {
            return Err(Stop::Limit("unpacked_bytes_max").into());
        }
        if self.unpacked > self.ratio_from && self.unpacked / self.stored.get().max(1) > self.ratio_max {
            return Err(Stop::Limit("ratio_max").into());
        }
        Ok(count)
    }
}

/// Reads and throws away what is left; true if all of it was zeros.
pub(crate) fn drain(input: &mut impl BufRead) -> Result<bool, Stop> {
    let mut is_zero = true;
    loop {
        let piece = input.fill_buf()?;
        if piece.is_empty() {
            return Ok(is_zero);
        }
        is_zero = is_zero && piece.iter().all(|byte| *byte == 0);
        let len = piece.len();
        input.consume(len);
    }
}

/// As much as a pipe holds.
const INPUT_BYTES: usize = 64 << 10;
/// Stays in the second-level cache.
const OUTPUT_BYTES: usize = 128 << 10;
/// 128 MiB, the largest window that zstd itself reads without being asked to.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
