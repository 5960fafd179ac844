//! A list shown in pages, as a web API does it: the cursor of the next page is the last key of
//! this one. A page costs one seek and its rows, however far in the list it is, where skipping rows
//! to an offset would read all of them again. And it is stable: what is written or deleted
//! meanwhile neither repeats a row nor hides one, not even if it is the row of the cursor.
//!
//! `cargo run --example paging`. It works in a temporary directory, and checks what it says.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use alluvium::{Db, Reader, Result, Value};

const ROWS: usize = 10;

/// Where a page begins. A client keeps it as it is, in hexadecimal or base64 for instance, and may
/// send back any other: it holds what follows the prefix in a key, so it names no row outside.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cursor {
    First,
    After(Vec<u8>),
    /// For the way back: the page that ends before this one.
    Before(Vec<u8>),
}

struct Page {
    /// In key order, whichever way it was reached.
    rows: Vec<(Value, Value)>,
    /// Nothing at the end of the list. A page that has lost all its rows leads on, too.
    next: Option<Cursor>,
    previous: Option<Cursor>,
}

/// The first key after another is that with a zero behind it.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// One page of all keys with a prefix: one seek, then its rows, and one more to know whether there
/// are others.
fn page(list: &Reader, prefix: &str, cursor: &Cursor) -> Result<Page> {
    let prefix = prefix.as_bytes();
    let mut range = list.prefix(prefix);
    let backward = matches!(cursor, Cursor::Before(_));
    match cursor {
        Cursor::First => {}
        Cursor::After(rest) => range.seek([prefix, &behind(rest)].concat()),
        Cursor::Before(rest) => range = list.range(prefix..&[prefix, rest].concat()[..]),
    }
    let mut rows: Vec<_> = match backward {
        true => range.rev().take(ROWS + 1).collect::<Result<_>>()?,
        false => range.take(ROWS + 1).collect::<Result<_>>()?,
    };
    let more = rows.len() > ROWS;
    rows.truncate(ROWS);
    if backward {
        rows.reverse();
    }
    // Where one has come from there are rows, or were.
    let came_from = *cursor != Cursor::First;
    let goes_on = |forward: bool| if forward == backward { came_from } else { more };
    let rest_of = |row: Option<&(Value, Value)>| row.map(|(key, _)| key[prefix.len()..].to_vec());
    let mut next = rest_of(rows.last()).filter(|_| goes_on(true)).map(Cursor::After);
    let mut previous = rest_of(rows.first()).filter(|_| goes_on(false)).map(Cursor::Before);
    if rows.is_empty() {
        // What was on this side of the cursor is deleted: back to what is on the other.
        match cursor {
            Cursor::First => {}
            Cursor::After(rest) => previous = Some(Cursor::Before(behind(rest))),
            Cursor::Before(_) => next = Some(Cursor::First),
        }
    }
    Ok(Page { rows, next, previous })
}

fn titles(page: &Page) -> Vec<String> {
    page.rows.iter().map(|(_, title)| String::from_utf8_lossy(title).into_owned()).collect()
}

fn main() -> Result<()> {
    let db = Db::temporary()?;
    let articles = db.keyspace("articles")?;
    // The key is the order of the list; a number in it has as many digits as it may ever need.
    for n in 0..35 {
        articles.put(format!("news/{n:06}"), format!("article {n}"))?;
    }
    articles.put("other/000001", "not news")?;

    // All pages, forward. Between two of them somebody writes.
    let mut seen = Vec::new();
    let mut cursor = Cursor::First;
    loop {
        let page = page(&articles, "news/", &cursor)?;
        seen.extend(titles(&page));
        let Some(next) = page.next else { break };
        if seen.len() == 10 {
            articles.delete("news/000009")?; // the row of the cursor
            articles.delete("news/000003")?; // it was seen before
            articles.put("news/000004-a", "comes too late for this reader")?;
        }
        cursor = next;
    }
    let all: Vec<_> = (0..35).map(|n| format!("article {n}")).collect();
    assert_eq!(seen, all, "each once, none left out");

    // From the last page back to the first.
    let mut back = page(&articles, "news/", &Cursor::After(b"000029".to_vec()))?;
    let mut pages = vec![titles(&back)];
    while let Some(cursor) = back.previous {
        back = page(&articles, "news/", &cursor)?;
        pages.push(titles(&back));
    }
    pages.reverse();
    assert_eq!(pages.concat().len(), 34, "two are gone, and one is new");
    assert_eq!(pages.last().map(|last| last[0].as_str()), Some("article 30"));

    // Pages of one moment: read all of them from one snapshot, and keep it for as long as they do.
    let snapshot = db.snapshot();
    let list = snapshot.of(&articles);
    let first = page(&list, "news/", &Cursor::First)?;
    articles.delete("news/000015")?;
    let second = page(&list, "news/", first.next.as_ref().unwrap_or(&Cursor::First))?;
    assert!(titles(&second).contains(&"article 15".to_owned()));

    // Whatever a client sends, it sees rows of this list alone.
    for forged in [&b"zzz"[..], b"other/000001", b"\xff\xff", b""].map(<[u8]>::to_vec) {
        for cursor in [Cursor::After(forged.clone()), Cursor::Before(forged)] {
            let rows = page(&articles, "news/", &cursor)?.rows;
            assert!(rows.iter().all(|(key, _)| key.starts_with(b"news/")), "{cursor:?}");
        }
    }
    // The rows of a page may be gone before somebody turns to it; it leads back to those there are.
    let mut gone = page(&articles, "news/", &Cursor::After(b"000034".to_vec()))?;
    assert!(gone.rows.is_empty() && gone.next.is_none());
    let to_last = gone.previous.expect("an empty page leads on");
    assert!(titles(&page(&articles, "news/", &to_last)?).contains(&"article 34".to_owned()));
    gone = page(&articles, "news/", &Cursor::Before(b"000000".to_vec()))?;
    assert!(gone.rows.is_empty() && gone.previous.is_none());
    let to_first = gone.next.expect("an empty page leads on");
    assert_eq!(titles(&page(&articles, "news/", &to_first)?)[0], "article 0");
    println!("{} pages of {ROWS} rows, forward and back, beside a writer", pages.len());
    Ok(())
}
