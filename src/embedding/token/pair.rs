//! Two texts in one sequence, as rerankers read them.

/// Special tokens around two texts, and the type of every token.
pub struct Pair {
    opening: Specials,
    first: u8,
    middle: Specials,
    second: u8,
    closing: Specials,
}

/// Ids and types: `[n]` each.
#[derive(Default)]
struct Specials {
    ids: Vec<u32>,
    types: Vec<u8>,
}

impl Pair {
    /// The special tokens that the tokenizer puts around a pair, found by encoding one; `None` if
    /// it joins two texts without any.
    pub fn new(inner: &tokenizers::Tokenizer) -> Result<Option<Self>, String> {
        let bare = |text: &str| {
            let encoding = inner.encode_fast(text, false).map_err(|e| e.to_string())?;
            Ok::<_, String>(encoding.get_ids().to_vec())
        };
        let full = inner.encode_fast(("a", "b"), true).map_err(|e| e.to_string())?;
        let (ids, types) = (full.get_ids(), full.get_type_ids());
        let find = |text: &[u32], from: usize| {
            let at = ids[from..].windows(text.len().max(1)).position(|window| window == text);
            at.map(|at| from + at)
        };
        let (a, b) = (bare("a")?, bare("b")?);
        let positions = find(&a, 0).and_then(|at| Some((at, find(&b, at + a.len())?)));
        let Some((a_at, b_at)) = positions.filter(|_| ids.len() > a.len() + b.len()) else {
            return Ok(None);
        };
        let kind = |i: usize| u8::try_from(types[i]).map_err(|e| e.to_string());
        let specials = |range: std::ops::Range<usize>| {
            let types = range.clone().map(kind).collect::<Result<_, String>>()?;
            Ok::<_, String>(Specials { ids: ids[range].to_vec(), types })
        };
        Ok(Some(Self {
            opening: specials(0..a_at)?,
            first: kind(a_at)?,
            middle: specials(a_at + a.len()..b_at)?,
            second: kind(b_at)?,
            closing: specials(b_at + b.len()..ids.len())?,
        }))
    }

    /// The number of special tokens of every pair.
    pub fn specials(&self) -> usize {
        self.opening.ids.len() + self.middle.ids.len() + self.closing.ids.len()
    }

    /// The types that a token of a pair may have.
    pub fn types(&self) -> Vec<u8> {
        let specials = [&self.opening, &self.middle, &self.closing];
        let types = specials.into_iter().flat_map(|specials| &specials.types).copied();
        types.chain([self.first, self.second]).collect()
    }

    /// The ids and the types of a pair: `[specials + a + b]` each. a, b: `[tokens of a text]`.
    pub fn join(&self, a: &[u32], b: &[u32]) -> (Vec<u32>, Vec<u8>) {
        let Self { opening, first, middle, second, closing } = self;
        let ids = [&opening.ids, a, &middle.ids, b, &closing.ids].concat();
        let (first, second) = (vec![*first; a.len()], vec![*second; b.len()]);
        let types = [&opening.types[..], &first, &middle.types, &second, &closing.types].concat();
        (ids, types)
    }
}

/// How many tokens of two texts of `a` and `b` tokens are kept, so that both fit into `room`: all
/// of the shorter one if it fits into half the room, and the rest for the longer one.
pub fn share(room: usize, a: usize, b: usize) -> (usize, usize) {
    let short = a.min(b).min(room / 2);
    let long = a.max(b).min(room - short);
    if a > b { (long, short) } else { (short, long) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_text_gives_way_first() {
        for ((room, a, b), kept) in [
            ((10, 3, 4), (3, 4)),
            ((10, 3, 40), (3, 7)),
            ((10, 40, 3), (7, 3)),
            ((10, 40, 30), (5, 5)),
            ((11, 40, 30), (6, 5)),
            ((11, 30, 40), (5, 6)),
            ((11, 30, 30), (5, 6)),
            ((10, 0, 30), (0, 10)),
            ((0, 5, 5), (0, 0)),
        ] {
            assert_eq!(share(room, a, b), kept, "{a} and {b} in {room}");
        }
    }
}
