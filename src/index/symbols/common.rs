//! Words that are too common in questions to be taken for a name.

use std::collections::HashSet;
use std::sync::OnceLock;

/// Words of English, and of prose about code, that are often symbol names too.
const COMMON: &str = "\
    a about access action add after all allow also an and any api app apply are argument \
    arguments array as at back base based be been before begin best between block body bool \
    both bug build bytes by call called can case change char check class clean clear client \
    close code collect column command compare compute config connect constructor contains \
    content context convert copy count create created current data date debug decode default \
    define defined delete description detect did different do does done down each element \
    else empty encode end entry error errors event every example exception execute exists \
    exit export fail failed fails false feature fetch field fields file filename files fill \
    filter find first fix flag float flush folder for format found from full function \
    functions generate get give given global go group handle handled handler has hash have \
    header help here how i id if image implement implementation implemented import in index \
    info init initialize input insert inside instance int integer into is it item items \
    iterate its job join key keys kind know last left length level library like limit line \
    lines link list load local location log logic long look loop main make many map mark \
    match max maximum mean merge message method methods min minimum mode module more most \
    move name names need new next no node none not null number object objects of off old on \
    one only open option options or order other our out output over package page parameter \
    parameters parent parse parsed part pass path paths perform place point port position \
    prefix print process program project property provide push put query range raw read \
    reader reading receive record remove rename replace report request require reset resolve \
    response result results return returned returns reverse right root row rule run running \
    same save scan score search see select self send server service session set setting \
    settings should show single size some sort source space specific split start state \
    status step stop store stored stream string strings struct sub support system table tag \
    take target task test tests text than that the their then there they thing this thread \
    throw time times to total trigger true try two type types unique unit up update url use \
    used user users uses using valid validate value values variable version view wait want \
    was way we what when where which while who why width will with without word words work \
    works wrap write writer writes writing written you zero";

pub(super) fn is_common(word: &str) -> bool {
    static SET: OnceLock<HashSet<&str>> = OnceLock::new();
    SET.get_or_init(|| COMMON.split(' ').collect()).contains(word)
}

/// Whether a word cannot be plain English: an underscore, a separator, a digit, or an upper-case
/// letter after its first character beside a lower-case one.
pub fn looks_like_identifier(word: &str) -> bool {
    let mixed_case = || {
        let has_lower = word.chars().any(char::is_lowercase);
        has_lower && word.chars().skip(1).any(char::is_uppercase)
    };
    word.contains(['_', ':', '.', '#', '/', '\\', '>'])
        || word.chars().any(char::is_numeric)
        || mixed_case()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_distinguished_from_prose() {
        for word in ["a_b", "a::b", "a.b", "camelCase", "HttpServer", "HTTPServer", "utf8", "__x"] {
            assert!(looks_like_identifier(word), "{word}");
        }
        for word in ["read", "Read", "HTTP", "tokenizer", "größer"] {
            assert!(!looks_like_identifier(word), "{word}");
        }
    }

    #[test]
    fn common_words_are_lower_case_and_listed_once() {
        let distinct: HashSet<&str> = COMMON.split(' ').collect();
        assert_eq!(distinct.len(), COMMON.split(' ').count());
        assert!(distinct.iter().all(|word| word.chars().all(char::is_lowercase)));
        assert!(is_common("read") && !is_common("tokenizer"));
    }
}
