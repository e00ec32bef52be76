//! A payload's bytes, unpacked and bounded.

use std::io::{self, BufReader, Read};

/// Reads past gzip or zstd, told by their magic numbers, if there is any.
///
/// Reading beyond `bytes_max` is an error of kind [`io::ErrorKind::FileTooLarge`].
pub(crate) fn open<'a>(bytes: impl Read + 'a, bytes_max: u64) -> io::Result<impl Read + 'a> {
    let mut packed = BufReader::with_capacity(BUFFER_BYTES, bytes);
    let mut magic = Vec::with_capacity(MAGIC_LEN);
    packed.by_ref().take(MAGIC_LEN as u64).read_to_end(&mut magic)?;
    let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
    let is_zstd = magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let packed = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(magic).chain(packed));
    let plain: Box<dyn Read + 'a> = if is_gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(packed))
    } else if is_zstd {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Box::new(decoder)
    } else {
        Box::new(packed)
    };
    Ok(Bounded { plain, left: bytes_max })
}

struct Bounded<'a> {
    plain: Box<dyn Read + 'a>,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.plain.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        Ok(count)
    }
}

const MAGIC_LEN: usize = 4;

const BUFFER_BYTES: usize = 64 << 10;

/// 128 MiB, what `zstd --long` makes and what the command reads without being asked twice.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
