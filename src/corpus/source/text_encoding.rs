//! Decoding: the text of a file in UTF-8, UTF-16, UTF-32 or an older encoding.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Bytes by which a file is judged to be text.
const PROBE_BYTES: usize = 8 << 10;
/// Of the probed bytes of a text, at most one in this many is a control character.
const BYTES_PER_CONTROL: usize = 100;
/// An older encoding is guessed from at least this many bytes outside of ASCII; of fewer, it is the
/// commonest one.
const GUESS_BYTES_MIN: usize = 8;
/// Formats whose beginning may look like text.
const BINARY_STARTS: [&[u8]; 2] = [b"%PDF-", b"{\\rtf"];

/// A text, and how it was decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Without a byte order mark. Line ends are as in the file, except that those of a file with CR
    /// alone are LF.
    pub text: String,
    /// `None` for UTF-8, else the encoding, and whether parts could not be decoded.
    pub encoding: Option<String>,
}

/// Decodes the bytes of a file; `None` if they are no text.
pub fn decode(bytes: Vec<u8>) -> Option<Decoded> {
    let (text, encoding) = decode_bytes(bytes)?;
    let has_cr_only = text.contains('\r') && !text.contains('\n');
    let text = if has_cr_only { text.replace('\r', "\n") } else { text };
    Some(Decoded { text, encoding })
}

fn decode_bytes(mut bytes: Vec<u8>) -> Option<(String, Option<String>)> {
    let probe = &bytes[..bytes.len().min(PROBE_BYTES)];
    // The mark of UTF-32 begins like that of UTF-16.
    if let Some(rest) = bytes.strip_prefix(b"\xFF\xFE\0\0") {
        return utf_32(rest, u32::from_le_bytes, "UTF-32LE");
    }
    if let Some(rest) = bytes.strip_prefix(b"\0\0\xFE\xFF") {
        return utf_32(rest, u32::from_be_bytes, "UTF-32BE");
    }
    if let Some(rest) = bytes.strip_prefix(b"\xFF\xFE") {
        return utf_16(rest, UTF_16LE);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xFE\xFF") {
        return utf_16(rest, UTF_16BE);
    }
    if probe.contains(&0) {
        let decoded = utf_16(&bytes, unmarked_utf_16(probe)?);
        return decoded.filter(|(text, _)| !text.contains(char::REPLACEMENT_CHARACTER));
    }
    if BINARY_STARTS.iter().any(|start| bytes.starts_with(start)) {
        return None;
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        bytes.drain(..3);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some((text, None)),
        Err(error) => not_utf_8(error.as_bytes()),
    }
}

/// Bytes that are not all UTF-8: damaged UTF-8, or another encoding.
fn not_utf_8(bytes: &[u8]) -> Option<(String, Option<String>)> {
    let probe = &bytes[..bytes.len().min(PROBE_BYTES)];
    let controls = probe.iter().filter(|byte| is_control(**byte)).count();
    if controls * BYTES_PER_CONTROL > probe.len() {
        return None;
    }
    let (mut characters, mut damaged) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        characters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        damaged += usize::from(!chunk.invalid().is_empty());
    }
    if characters >= damaged.max(1) {
        let what = if damaged == 1 { "place" } else { "places" };
        let encoding = format!("UTF-8, damaged at {damaged} {what}");
        return Some((String::from_utf8_lossy(bytes).into_owned(), Some(encoding)));
    }
    let outside = bytes.iter().filter(|byte| !byte.is_ascii()).count();
    let encoding = if outside < GUESS_BYTES_MIN { WINDOWS_1252 } else { guess(bytes) };
    let (text, damaged) = encoding.decode_without_bom_handling(bytes);
    Some((text.into_owned(), Some(named(encoding, damaged))))
}

/// Whether a byte is in no text: a control character other than white space, backspace and escape.
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, 8..=13 | 27)
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

/// The byte order of UTF-16 without a mark, in which every other byte of most texts is 0.
fn unmarked_utf_16(probe: &[u8]) -> Option<&'static Encoding> {
    let pairs = probe.len() / 2;
    let zeros = |at: usize| probe.iter().skip(at).step_by(2).filter(|byte| **byte == 0).count();
    match (zeros(0), zeros(1)) {
        (0, low) if low * 4 > pairs * 3 => Some(UTF_16LE),
        (high, 0) if high * 4 > pairs * 3 => Some(UTF_16BE),
        _ => None,
    }
}

fn utf_16(bytes: &[u8], encoding: &'static Encoding) -> Option<(String, Option<String>)> {
    let (text, damaged) = encoding.decode_without_bom_handling(bytes);
    text_of(text.into_owned(), named(encoding, damaged))
}

fn utf_32(bytes: &[u8], read: fn([u8; 4]) -> u32, name: &str) -> Option<(String, Option<String>)> {
    let (units, rest) = bytes.as_chunks::<4>();
    let characters = units.iter().map(|unit| char::from_u32(read(*unit)));
    let text: String = characters.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let is_damaged = !rest.is_empty() || text.contains(char::REPLACEMENT_CHARACTER);
    text_of(text, if is_damaged { format!("{name}, damaged") } else { name.to_owned() })
}

/// A decoded text, unless it has characters that no text has.
fn text_of(text: String, encoding: String) -> Option<(String, Option<String>)> {
    let is_control = |c: char| u8::try_from(c).is_ok_and(is_control);
    let probe = || text.chars().take(PROBE_BYTES);
    let controls = probe().filter(|c| is_control(*c)).count();
    let is_text = controls * BYTES_PER_CONTROL <= probe().count() && !text.contains('\0');
    is_text.then_some((text, Some(encoding)))
}

fn named(encoding: &'static Encoding, is_damaged: bool) -> String {
    let name = encoding.name();
    if is_damaged { format!("{name}, damaged") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], text: &str, encoding: Option<&str>) {
        let decoded = decode(bytes.to_vec()).expect("a text");
        assert_eq!((decoded.text.as_str(), decoded.encoding.as_deref()), (text, encoding));
    }

    fn units(text: &str, bytes_of: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes_of).collect()
    }

    #[test]
    fn texts_are_decoded_whatever_their_encoding() {
        let text = "def größe():\n    return \"🌍\"\n";
        check(text.as_bytes(), text, None);
        check(format!("\u{feff}{text}").as_bytes(), text, None);
        let marked = format!("\u{feff}{text}");
        check(&units(&marked, u16::to_le_bytes), text, Some("UTF-16LE"));
        check(&units(&marked, u16::to_be_bytes), text, Some("UTF-16BE"));
        check(
            &units("def size(): pass\n", u16::to_le_bytes),
            "def size(): pass\n",
            Some("UTF-16LE"),
        );
        check(
            &units("def size(): pass\n", u16::to_be_bytes),
            "def size(): pass\n",
            Some("UTF-16BE"),
        );
        let wide: Vec<u8> = marked.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        check(&wide, text, Some("UTF-32LE"));
        check(b"// caf\xE9\n", "// café\n", Some("windows-1252"));
        check(b"x = 1 # \xFF\n", "x = 1 # ÿ\n", Some("windows-1252"));
        let damaged = "# größer als\n".as_bytes().iter().copied().chain(*b"\xFF\n");
        let damaged: Vec<u8> = damaged.collect();
        check(&damaged, "# größer als\n\u{fffd}\n", Some("UTF-8, damaged at 1 place"));
        let (cyrillic, _, _) = encoding_rs::WINDOWS_1251.encode("// Проверяет, пуста ли очередь\n");
        check(&cyrillic, "// Проверяет, пуста ли очередь\n", Some("windows-1251"));
        let (japanese, _, _) = encoding_rs::SHIFT_JIS.encode("// 認証トークンを検証する\n");
        check(&japanese, "// 認証トークンを検証する\n", Some("Shift_JIS"));
    }

    #[test]
    fn lines_that_end_with_cr_alone_are_lines() {
        check(b"one\rtwo\r", "one\ntwo\n", None);
        check(b"one\r\ntwo\rstill\r\n", "one\r\ntwo\rstill\r\n", None);
    }

    #[test]
    fn what_is_no_text_is_not_decoded() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut noise: Vec<u8> = (0..4000).map(|_| random.u8(1..)).collect();
        assert_eq!(decode(noise.clone()), None);
        noise[7] = 0;
        assert_eq!(decode(noise), None);
        assert_eq!(decode(b"fn\0main".to_vec()), None);
        assert_eq!(decode(b"\0\x01\x02".to_vec()), None);
        assert_eq!(decode(b"\x01\0\x02\0".to_vec()), None);
        assert_eq!(decode(b"%PDF-1.7\nxref\n".to_vec()), None);
        assert_eq!(decode(b"\xFF\xFEa\0\0\0b\0".to_vec()), None);
    }
}
