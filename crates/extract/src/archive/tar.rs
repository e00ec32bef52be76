//! The tar walk: one header after the other, bodies skipped without copying.
//!
//! It sees what Go's `archive/tar` sees, because containerd and docker unpack with that. Where
//! other readers would see something else (another name, another size, so other entries from there
//! on), the entry carries a doubt: such archives can hide a package from a scanner. The `tar`
//! crate resolves those cases silently and copies what it skips, so it serves the tests only.
//!
//! Layout: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use std::io::{BufRead, Read};

use super::pax::{self, Extended};
use super::stop::Stop;
use crate::Limits;

/// An archive being walked.
pub(crate) struct Archive<R> {
    input: R,
    block: [u8; BLOCK],
    name: Vec<u8>,
    link: Vec<u8>,
    /// What is left of the current entry's body, and the zeros after it.
    body: u64,
    padding: u64,
    entries: u64,
    entries_max: u64,
    extension_max: u64,
}

/// One entry, without its name, which the archive holds until the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Bytes in its body.
    pub(crate) size: u64,
    /// Its body is not its content.
    pub(crate) is_sparse: bool,
    /// Why readers disagree about this entry, if they do.
    pub(crate) doubt: Option<&'static str>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    HardLink,
    Symlink,
    Directory,
    /// A device or a pipe.
    Special,
    /// A type that no standard tells us of.
    Unknown,
    /// PAX records for the entries that follow, which Go does not apply.
    Global,
}

impl<R: BufRead> Archive<R> {
    pub(crate) fn new(input: R, limits: &Limits) -> Self {
        Self {
            input,
            block: [0; BLOCK],
            name: Vec::new(),
            link: Vec::new(),
            body: 0,
            padding: 0,
            entries: 0,
            entries_max: limits.entries_max,
            extension_max: limits.extension_bytes_max,
        }
    }

    /// The current entry's name, as written.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Where the current entry points, as written.
    pub(crate) fn link(&self) -> &[u8] {
        &self.link
    }

    /// How many headers were read.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// The next entry; `None` at the end of the archive.
    ///
    /// # Errors
    /// [`Stop`]: there is no telling where the next entry would be.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Stop> {
        let mut doubt = None;
        let mut extended = Extended::default();
        let mut has_extended = false;
        let mut long_name = None;
        let mut long_link = None;
        loop {
            if !self.next_header()? {
                let is_dangling = has_extended || long_name.is_some() || long_link.is_some();
                return if is_dangling { Err(Stop::Truncated) } else { Ok(None) };
            }
            let size = number(&self.block[SIZE]).ok_or(Stop::BadArchive("a size is not a number"))?;
            match self.block[TYPE] {
                b'x' => {
                    if has_extended {
                        doubt = Some("two headers extend one entry");
                    }
                    extended = Extended::parse(&self.extension(size)?).ok_or(BAD_RECORDS)?;
                    has_extended = true;
                }
                b'g' => {
                    let records = self.extension(size)?;
                    let global = Extended::parse(&records).ok_or(BAD_RECORDS)?;
                    let doubt =
                        (!global.is_empty()).then_some("global records rename or resize what follows");
                    self.name.clear();
                    self.link.clear();
                    if doubt.is_some() {
                        if has_extended || long_name.is_some() || long_link.is_some() {
                            return Err(Stop::BadArchive(
                                "global records stand between a header and its entry",
                            ));
                        }
                        return Ok(Some(Entry { kind: Kind::Global, size: 0, is_sparse: false, doubt }));
                    }
                }
                b'L' => long_name = Some(until_nul(&self.extension(size)?).to_vec()),
                b'K' => long_link = Some(until_nul(&self.extension(size)?).to_vec()),
                flag => {
                    return self.entry(flag, size, &extended, long_name, long_link, doubt).map(Some);
                }
            }
        }
    }

    /// The entry that the current block and what came before it describe.
    fn entry(
        &mut self,
        flag: u8,
        stated: u64,
        extended: &Extended,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        mut doubt: Option<&'static str>,
    ) -> Result<Entry, Stop> {
        self.take_names(&mut doubt);
        if long_name.is_some() && extended.path.as_ref().is_some_and(|path| Some(path) != long_name.as_ref())
            || long_link.is_some()
                && extended.link.as_ref().is_some_and(|link| Some(link) != long_link.as_ref())
        {
            doubt = Some("two headers give an entry different names");
        }
        let mut is_sparse = flag == b'S' || extended.is_sparse;
        let sparse_name = extended.sparse_name.as_ref().filter(|_| extended.is_sparse);
        if let Some(name) = long_name.as_ref().or(sparse_name).or(extended.path.as_ref()) {
            self.name.clone_from(name);
        }
        if let Some(link) = long_link.as_ref().or(extended.link.as_ref()) {
            self.link.clone_from(link);
        }

        let mut size = stated;
        if let Some(extended) = extended.size {
            // What does not fit in the header's octal digits is written as 0 there.
            if extended != stated && !(stated == 0 && extended > OCTAL_MAX) {
                doubt = Some("two headers give an entry different sizes");
            }
            size = extended;
        }
        let has_slash = self.name.ends_with(b"/");
        let kind = match flag {
            0 if has_slash => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::Regular,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' | b'6' => Kind::Special,
            b'5' => Kind::Directory,
            _ => Kind::Unknown,
        };
        if has_slash && kind == Kind::Regular {
            doubt = Some("a regular file's name ends in a slash");
        }
        if !matches!(kind, Kind::Regular | Kind::Unknown) && size != 0 {
            if flag != 0 || kind != Kind::Directory {
                size = 0;
            }
            doubt = Some("an entry that has no body states a size");
        }
        if flag == b'S' {
            self.skip_sparse_map()?;
            is_sparse = true;
        }
        self.body = size;
        self.padding = padding(size);
        Ok(Entry { kind, size, is_sparse, doubt })
    }

    /// The rest of the current entry's body, as far as it goes; whoever asks has checked its size.
    pub(crate) fn body(&mut self) -> (Vec<u8>, Result<(), Stop>) {
        let mut bytes = Vec::with_capacity(usize::try_from(self.body.min(FIRST_BYTES)).unwrap_or(0));
        let wanted = self.body;
        self.body = 0;
        match (&mut self.input).take(wanted).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 == wanted => (bytes, Ok(())),
            Ok(_) => (bytes, Err(Stop::Truncated)),
            Err(error) => (bytes, Err(error.into())),
        }
    }

    /// Gives back what the archive was read from, to look at what follows it.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    /// Skips what is left of the current entry and reads the next header. False at the end: two
    /// blocks of zeros, one before the input ends, or none (Go takes all three).
    fn next_header(&mut self) -> Result<bool, Stop> {
        self.skip(self.body)?;
        self.body = 0;
        if self.padding > 0 && self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.skip(self.padding)?;
        self.padding = 0;
        if !self.read_block()? {
            return Ok(false);
        }
        if self.block == [0; BLOCK] {
            if self.read_block()? && self.block != [0; BLOCK] {
                return Err(Stop::BadArchive("something follows a lone block of zeros"));
            }
            return Ok(false);
        }
        if !checksum_holds(&self.block) {
            return Err(Stop::BadArchive("a header's checksum does not hold"));
        }
        if self.entries >= self.entries_max {
            return Err(Stop::Limit("entries_max"));
        }
        self.entries += 1;
        Ok(true)
    }

    /// False if the input ends before the block does anything.
    fn read_block(&mut self) -> Result<bool, Stop> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.input.read_exact(&mut self.block)?;
        Ok(true)
    }

    fn skip(&mut self, mut count: u64) -> Result<(), Stop> {
        while count > 0 {
            let there = self.input.fill_buf()?.len();
            if there == 0 {
                return Err(Stop::Truncated);
            }
            let step = usize::try_from(count).unwrap_or(usize::MAX).min(there);
            self.input.consume(step);
            count -= step as u64;
        }
        Ok(())
    }

    /// The body of a header that extends the next.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Stop> {
        if size > self.extension_max {
            return Err(Stop::Limit("extension_bytes_max"));
        }
        self.body = size;
        self.padding = padding(size);
        let (bytes, read) = self.body();
        read.map(|()| bytes)
    }

    /// Name and link of the header itself.
    fn take_names(&mut self, doubt: &mut Option<&'static str>) {
        self.name.clear();
        self.link.clear();
        let has_magic = self.block[MAGIC] == *b"ustar\0";
        let is_ustar = has_magic && self.block[VERSION] == *b"00";
        let prefix = if self.block[STAR_TRAILER] == *b"tar\0" { STAR_PREFIX } else { PREFIX };
        let prefix = until_nul(&self.block[prefix]);
        if is_ustar && !prefix.is_empty() {
            self.name.extend_from_slice(prefix);
            self.name.push(b'/');
        }
        if has_magic && !is_ustar && !prefix.is_empty() {
            *doubt = Some("a header of no known version has a prefix");
        }
        self.name.extend_from_slice(until_nul(&self.block[NAME]));
        self.link.extend_from_slice(until_nul(&self.block[LINK]));
    }

    /// The blocks that follow an old GNU sparse header and go on with its map.
    fn skip_sparse_map(&mut self) -> Result<(), Stop> {
        let mut goes_on = self.block[SPARSE_EXTENDED] != 0;
        while goes_on {
            if !self.read_block()? {
                return Err(Stop::Truncated);
            }
            goes_on = self.block[SPARSE_EXTENDED_AGAIN] != 0;
        }
        Ok(())
    }
}

/// True if a header's checksum is that of its bytes, taken as unsigned or, as old writers did, as
/// signed.
pub(crate) fn checksum_holds(block: &[u8; BLOCK]) -> bool {
    let Some(stated) = number(&block[CHECKSUM]) else { return false };
    let mut unsigned = 0_u32;
    let mut high = 0_u32;
    for byte in block {
        unsigned += u32::from(*byte);
        high += u32::from(*byte >> 7);
    }
    // The field itself counts as blanks.
    let field: u32 = block[CHECKSUM].iter().map(|byte| u32::from(*byte)).sum();
    let field_high: u32 = block[CHECKSUM].iter().map(|byte| u32::from(*byte >> 7)).sum();
    let unsigned = i64::from(unsigned) - i64::from(field) + 8 * i64::from(b' ');
    let signed = unsigned - 256 * (i64::from(high) - i64::from(field_high));
    i64::try_from(stated).is_ok_and(|stated| stated == unsigned || stated == signed)
}

/// A number in octal digits or, if its first bit is set, big-endian (GNU). No negative ones.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        if *first != 0x80 {
            return None; // negative, or beyond 64 bits in every field there is
        }
        return rest.iter().try_fold(0_u64, |sum, byte| {
            let sum = if sum >> 55 == 0 { sum << 8 } else { return None };
            Some(sum | u64::from(*byte))
        });
    }
    let is_edge = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = field.iter().position(|byte| !is_edge(byte)) else { return Some(0) };
    let digits = until_nul(&field[start..]).trim_ascii_end();
    digits.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'7' => Some(sum.checked_mul(8)? + u64::from(byte - b'0')),
        _ => None,
    })
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    pax::before(bytes, 0).unwrap_or(bytes)
}

type Field = std::ops::Range<usize>;

const BLOCK: usize = 512;
const NAME: Field = 0..100;
const SIZE: Field = 124..136;
const CHECKSUM: Field = 148..156;
const TYPE: usize = 156;
const LINK: Field = 157..257;
const MAGIC: Field = 257..263;
const VERSION: Field = 263..265;
const PREFIX: Field = 345..500;
/// star's header has times where others have the end of the prefix.
const STAR_PREFIX: Field = 345..476;
const STAR_TRAILER: Field = 508..512;
const SPARSE_EXTENDED: usize = 482;
const SPARSE_EXTENDED_AGAIN: usize = 504;
/// What eleven octal digits hold.
const OCTAL_MAX: u64 = 0o77_777_777_777;
/// Set aside before a body proves to be as long as its header says.
const FIRST_BYTES: u64 = 1 << 20;
const BAD_RECORDS: Stop = Stop::BadArchive("an extension header's records cannot be read");
