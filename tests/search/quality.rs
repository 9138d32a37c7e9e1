//! Quality of results with MiniLM, over small repositories written by hand.

use codeintel::base::config::Settings;

use crate::support::{Place, ask, many_files, paths};

fn minilm(files: &[(&str, &str)]) -> Place {
    let place = Place::with_model(files, &Settings::default().model.name);
    place.index();
    place
}

#[test]
fn an_exact_identifier_puts_its_definition_first() {
    let files = many_files();
    let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let place = minilm(&files[..30]);
    let searcher = place.searcher();
    for (path, _) in &files[..30] {
        let (noun, verb) = match path.split(['/', '_', '.']).collect::<Vec<_>>()[..] {
            ["src", noun, verb, "rs"] | ["lib", noun, verb, "py"] => (noun, verb),
            ["cmd", command, "main", "go"] => {
                let verbs = ["parse", "write", "check", "merge", "split"];
                let verb = verbs.iter().find(|verb| command.starts_with(**verb)).unwrap();
                (&command[verb.len()..], *verb)
            }
            _ => panic!("{path}"),
        };
        let name = format!("{verb}_{noun}");
        let answer = ask(&searcher, &place.query(&name, 5));
        assert_eq!(answer.query_kind.as_str(), "identifier", "{name}");
        let best = &answer.findings[0];
        assert_eq!(best.row.path, *path, "{name}: {}", best.why);
        assert_eq!(best.kind.as_str(), "definition");
        assert!(best.row.text.contains(&name));
    }
}

const RATE_LIMIT: &str = r#"//! Keeps callers from asking too often.

/// A bucket that refills over time.
pub struct Bucket {
    tokens: f64,
    per_second: f64,
}

impl Bucket {
    /// Takes one token if there is one; false means that the caller must wait.
    pub fn allow(&mut self, elapsed_s: f64) -> bool {
        self.tokens = (self.tokens + elapsed_s * self.per_second).min(10.0);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}
"#;
const PASSWORDS: &str = r#""""Accounts and how they are protected."""

import hashlib
import os


def hash_password(password, rounds=200_000):
    """Turn a password into a salted digest that is safe to store."""
    salt = os.urandom(16)
    return salt, hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)


def rename_account(account, new_name):
    """Change what an account is called."""
    account.name = new_name.strip()
    return account
"#;
const MAIL: &str = r#"package mail

import "net/smtp"

// SendInvoice mails a bill to the customer as an attachment.
func SendInvoice(to string, pdf []byte) error {
	message := append([]byte("Subject: your invoice\r\n\r\n"), pdf...)
	return smtp.SendMail("localhost:25", nil, "billing@example.com", []string{to}, message)
}

// Unsubscribe takes an address off the newsletter.
func Unsubscribe(list map[string]bool, address string) {
	delete(list, address)
}
"#;
const GEOMETRY: &str = r#"/** Distance on the surface of the earth between two places, in kilometres. */
export function haversine(a, b) {
  const rad = (deg) => (deg * Math.PI) / 180;
  const dLat = rad(b.lat - a.lat);
  const dLon = rad(b.lon - a.lon);
  const h = Math.sin(dLat / 2) ** 2 + Math.cos(rad(a.lat)) * Math.cos(rad(b.lat)) * Math.sin(dLon / 2) ** 2;
  return 2 * 6371 * Math.asin(Math.sqrt(h));
}

/** Mixes two colours of a palette. */
export function blend(a, b, share) {
  return a.map((value, i) => value * (1 - share) + b[i] * share);
}
"#;
const STORE: &str = r#"import java.util.LinkedHashMap;
import java.util.Map;

/** Remembers recent values and forgets the one not used for longest. */
public class RecentCache<K, V> extends LinkedHashMap<K, V> {
    private final int capacity;

    public RecentCache(int capacity) {
        super(16, 0.75f, true);
        this.capacity = capacity;
    }

    @Override
    protected boolean removeEldestEntry(Map.Entry<K, V> eldest) {
        return size() > capacity;
    }
}
"#;

const SHOP: [(&str, &str); 5] = [
    ("server/limits.rs", RATE_LIMIT),
    ("accounts/secrets.py", PASSWORDS),
    ("billing/mail.go", MAIL),
    ("web/geo.js", GEOMETRY),
    ("store/RecentCache.java", STORE),
];

/// Questions about the shop, each with the file and a part of the function that answers it.
const QUESTIONS: [(&str, &str, &str); 5] = [
    ("how do we throttle clients that send too many requests", "limits.rs", "fn allow"),
    ("where are login credentials encrypted before saving", "secrets.py", "def hash_password"),
    ("how does a customer get the bill by email", "mail.go", "func SendInvoice"),
    ("how far apart are two coordinates", "geo.js", "function haversine"),
    ("which entry is evicted when memory is full", "RecentCache.java", "removeEldestEntry"),
];

/// Asserts that each question finds its function first.
fn check(place: &Place) {
    let searcher = place.searcher();
    let mut wrong = Vec::new();
    for (question, file, function) in QUESTIONS {
        let answer = ask(&searcher, &place.query(question, 5));
        assert_eq!(answer.query_kind.as_str(), "natural_language", "{question}");
        let best = &answer.findings[0];
        if !(best.row.path.ends_with(file) && best.row.text.contains(function)) {
            wrong.push(format!("{question}: {} {}", best.row.path, best.why));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_question_in_other_words_finds_the_right_function_first() {
    let readme = ("README.md", "# Shop\n\nA small shop with a web page and a mailer.\n");
    check(&minilm(&[&SHOP[..], &[readme]].concat()));
}

#[test]
fn code_comes_before_the_document_that_repeats_the_question_unless_documents_are_asked_for() {
    let section = |(question, ..): &(&str, &str, &str)| {
        format!("## {question}?\n\nThis tells {question}. It is done by the code of the shop.\n\n")
    };
    let readme = QUESTIONS.iter().map(section).collect::<String>();
    let place = minilm(&[&SHOP[..], &[("README.md", &readme)]].concat());
    check(&place);
    let searcher = place.searcher();
    for (question, ..) in QUESTIONS {
        let answer = ask(&searcher, &place.query(question, 5));
        assert!(paths(&answer).contains(&"README.md"), "{question}");
        let documented = format!("what does the readme say about {question}");
        let answer = ask(&searcher, &place.query(&documented, 5));
        assert_eq!(paths(&answer)[0], "README.md", "{}", answer.findings[0].why);
    }
}
