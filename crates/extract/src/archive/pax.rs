//! PAX records (POSIX.1-2017 pax, "pax Extended Header"): those that rename or resize an entry.

/// What one extension header says of the next entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extended {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    /// GNU's sparse files hide their own name behind another.
    pub(crate) sparse_name: Option<Vec<u8>>,
    pub(crate) is_sparse: bool,
}

impl Extended {
    /// Nothing that changes how an archive is read.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads `LENGTH KEY=VALUE\n` after each other. Values may hold any byte, so the length rules,
    /// not the newline. An empty value leaves things as they were. `None` if it is damaged.
    pub(crate) fn parse(mut records: &[u8]) -> Option<Self> {
        let mut extended = Self::default();
        while !records.is_empty() {
            let digits = before(&records[..records.len().min(LENGTH_DIGITS_MAX + 1)], b' ')?;
            let len: usize = number(digits)?.try_into().ok()?;
            let (record, rest) = records.split_at_checked(len)?;
            records = rest;
            let record = record.get(digits.len() + 1..)?.strip_suffix(b"\n")?;
            let key = before(record, b'=')?;
            let value = &record[key.len() + 1..];
            if key.is_empty() || key.contains(&0) {
                return None;
            }
            let text = || (!value.is_empty()).then(|| value.to_vec());
            match key {
                b"path" | b"linkpath" | b"GNU.sparse.name" if value.contains(&0) => return None,
                b"path" => extended.path = text(),
                b"linkpath" => extended.link = text(),
                b"size" if value.is_empty() => extended.size = None,
                b"size" => extended.size = Some(number(value)?),
                b"GNU.sparse.name" => extended.sparse_name = text(),
                b"GNU.sparse.major" | b"GNU.sparse.minor" | b"GNU.sparse.map" | b"GNU.sparse.numblocks" => {
                    extended.is_sparse = true;
                }
                _ => {}
            }
        }
        Some(extended)
    }
}

/// What stands before the first `end`, if there is one.
pub(crate) fn before(bytes: &[u8], end: u8) -> Option<&[u8]> {
    bytes.iter().position(|byte| *byte == end).map(|at| &bytes[..at])
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Of any length that 64 bits hold.
const LENGTH_DIGITS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_rules_not_the_newline() {
        let records = b"22 SCHILY.xattr.x=a\nb\n14 path=etc/x\n11 size=12\n";
        let extended = Extended::parse(records).expect("well-formed");
        assert_eq!((extended.path.as_deref(), extended.size), (Some(b"etc/x".as_slice()), Some(12)));
    }

    #[test]
    fn damaged_records_are_refused() {
        let damaged: [&[u8]; 9] = [
            b"x",
            b"9 path=x",
            b"8 path=x\n",
            b"99 path=x\n",
            b"9 path=\0\n",
            b"9 sizes=\n9",
            b"9 size=-\n",
            b"99999999999999999999999 a=b\n",
            b"4 =\n",
        ];
        for records in damaged {
            assert_eq!(Extended::parse(records), None, "{records:?}");
        }
    }
}
