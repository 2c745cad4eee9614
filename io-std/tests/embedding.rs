//! That `EMBEDDING.md` says what is so: a link to a line leads to where the thing that it names is defined, every other link
//! to something that is there, and the program that is shown is the one that is built. `IO_EMBEDDING_WRITE=1` makes it so.

use std::path::{Path, PathBuf};

/// Set to write the page instead of comparing it.
const WRITE: &str = "IO_EMBEDDING_WRITE";
/// What stands around the shown part in the program, and in the page.
const PART: [&str; 2] = ["// The page begins here.\n", "// The page ends here.\n"];
const BLOCK: [&str; 2] = ["```rust,ignore\n", "```\n"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// What comes after the words before an item's name; whether any of them says that it is an item.
fn after_keywords(line: &str) -> (&str, bool) {
    const OTHERS: [&str; 5] = ["pub(crate) ", "pub(super) ", "pub ", "unsafe ", "extern \"C\" "];
    const ITEMS: [&str; 8] =
        ["fn ", "static ", "const ", "struct ", "enum ", "type ", "mod ", "macro_rules! "];
    let (mut rest, mut item) = (line.trim_start().trim_start_matches('"'), false);
    loop {
        if let Some(next) = ITEMS.iter().find_map(|word| rest.strip_prefix(word)) {
            (rest, item) = (next, true);
        } else if let Some(next) = OTHERS.iter().find_map(|word| rest.strip_prefix(word)) {
            rest = next;
        } else {
            return (rest, item);
        }
    }
}

/// Whether the line is where an item of this name begins; or, if `loose`, a field, a label, a key or a shell function.
fn defines(line: &str, name: &str, loose: bool) -> bool {
    let (rest, item) = after_keywords(line);
    let Some(rest) = rest.strip_prefix(name) else { return false };
    if loose {
        [":", " = ", "() {"].iter().any(|end| rest.starts_with(end))
    } else {
        item && !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
    }
}

/// Where in the file the thing of this name is defined, from 1.
fn line_of(path: &Path, name: &str) -> Result<usize, String> {
    let text = read(path)?;
    let find = |loose| (1..).zip(text.lines()).find(|(_, line)| defines(line, name, loose));
    let found = find(false).or_else(|| find(true));
    found.map(|(at, _)| at).ok_or_else(|| format!("{} has no `{name}`", path.display()))
}

/// Where a link is to lead, whose text is `text`.
fn target(text: &str, target: &str) -> Result<String, String> {
    if target.starts_with('#') || target.contains("://") {
        return Ok(target.to_owned());
    }
    let Some((file, _)) = target.split_once("#L") else {
        return match root().join(target).try_exists() {
            Ok(true) => Ok(target.to_owned()),
            _ => Err(format!("there is no {target}")),
        };
    };
    let name = text.trim_matches('`');
    Ok(format!("{file}#L{}", line_of(&root().join(file), name)?))
}

/// The words of the page, with the right numbers.
fn words(page: &str) -> Result<String, String> {
    let mut pieces = page.split("](");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (old, rest) = piece.split_once(')').ok_or("a link has no end")?;
        let text = out.rsplit('[').next().unwrap_or_default();
        out = format!("{out}]({}){rest}", target(text, old)?);
    }
    Ok(out)
}

/// What is between two marks, and what comes before and after both.
fn between<'t>(text: &'t str, [begin, end]: [&str; 2]) -> Result<[&'t str; 3], String> {
    let (before, rest) = text.split_once(begin).ok_or_else(|| format!("there is no {begin:?}"))?;
    let (inside, after) = rest.split_once(end).ok_or_else(|| format!("there is no {end:?}"))?;
    Ok([before, inside, after])
}

/// The page as it should be.
fn renewed(page: &str) -> Result<String, String> {
    let [before, _, after] = between(page, BLOCK)?;
    let program = read(&root().join("smallest/src/main.rs"))?;
    let [_, part, _] = between(&program, PART)?;
    let [begin, end] = BLOCK;
    Ok(format!("{}{begin}{part}{end}{}", words(before)?, words(after)?))
}

#[test]
fn the_page_is_up_to_date() -> Result<(), String> {
    let path = root().join("EMBEDDING.md");
    let page = read(&path)?;
    let due = renewed(&page)?;
    if std::env::var_os(WRITE).is_some() {
        return std::fs::write(path, due).map_err(|error| error.to_string());
    }
    let links = due.matches("#L").count();
    assert!(links > 50, "{links} links to lines: too few to be all that the page has");
    let wrong = page.lines().zip(due.lines()).find(|(is, should)| is != should);
    assert_eq!(wrong, None, "(is, should be): run with {WRITE}=1");
    assert_eq!(page, due, "run with {WRITE}=1");
    Ok(())
}

#[test]
fn what_is_defined_is_told_from_what_is_used() {
    for line in
        ["pub(crate) fn begin() {", "unsafe extern \"C\" fn begin<T>(", "    static begin: u8"]
    {
        assert!(defines(line, "begin", false), "{line}");
    }
    for line in
        ["    begin();", "fn begins() {", "let begin = 1;", "self.begin: u8", "// fn begin()"]
    {
        assert!(!defines(line, "begin", false) && !defines(line, "begin", true), "{line}");
    }
    for line in ["    pub(crate) begin: u8,", "begin = \"abort\"", "begin() {", "    \"begin:\","] {
        assert!(defines(line, "begin", true), "{line}");
    }
    assert_eq!(
        words("[`no`](nothing.rs#L1)").err().as_deref().map(|why| why.contains("nothing.rs")),
        Some(true)
    );
    let drifted = words("[`panic`](tracer/Cargo.toml#L1)").expect("it is there");
    assert_ne!(drifted, "[`panic`](tracer/Cargo.toml#L1)");
}
