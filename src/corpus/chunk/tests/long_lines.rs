//! Only the beginning of a very long line counts, and the rest of its file is read as any other.

use super::super::lines::LINE_BYTES_MAX;
use super::{chunk, file};

/// A Python file of 96 lines, of which the first is an embedded image of 50 KB.
fn with_image() -> String {
    let image = "iVBORw0KGgo".repeat(4600);
    let functions =
        (0..19).map(|i| format!("\n\ndef f_{i}(a):\n    # Step {i}.\n    return go(a)\n"));
    format!("IMAGE = \"{image}\"\n{}", functions.collect::<String>())
}

#[test]
fn the_file_behind_a_long_line_has_its_definitions() {
    let text = with_image();
    assert_eq!((text.len() > 50_000, text.lines().count()), (true, 96));
    let made = chunk(&file("a.py", &text), 200);
    let names: Vec<&str> = made.symbols.iter().map(|symbol| symbol.name.as_str()).collect();
    assert_eq!((names.len(), names[0], names[1], names[19]), (20, "IMAGE", "f_0", "f_18"));
    assert!(made.references.iter().any(|reference| reference.name == "go"));
}

#[test]
fn the_tail_of_a_long_line_is_neither_embedded_nor_searched_by_words() {
    let made = chunk(&file("a.py", &with_image()), 20_000);
    let [chunk] = made.chunks.as_slice() else { panic!("{} chunks", made.chunks.len()) };
    assert!(chunk.text.len() > 50_000, "the lines are kept as they are");
    let embedded = chunk.embedded_text();
    assert!(embedded.len() < LINE_BYTES_MAX + 2_000 && embedded.contains("def f_18(a):"));
    let (code, comments) = chunk.code_and_comments();
    assert!(code.len() < LINE_BYTES_MAX + 2_000 && code.contains("def f_18(a):"));
    assert_eq!((comments.lines().count(), comments.lines().last()), (19, Some("# Step 18.")));
}

#[test]
fn definitions_and_comments_in_the_tail_of_a_line_do_not_count() {
    let line = format!("let a = [{}]; function hidden() {{}} // hidden\n", "1, ".repeat(1_000));
    let made = chunk(&file("a.js", &format!("{line}\nfunction seen() {{}}\n")), 64);
    let names: Vec<&str> = made.symbols.iter().map(|symbol| symbol.name.as_str()).collect();
    assert_eq!(names, ["a", "seen"]);
    assert!(made.chunks.iter().all(|chunk| chunk.comments.is_empty()));
}
