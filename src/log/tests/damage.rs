//! Every byte of a small chain changed, and every file of it cut at each byte, against an oracle
//! that says exactly what must be read then.

use super::chain::{Chain, path, texts};
use crate::error::{Error, Result};
use crate::format::record::RECORD_HEADER_BYTES;
use crate::ids::{LogNumber, LogPosition};
use crate::log::{LOG_DATA_START, LOG_SECOND_HEADER, Replayed};

/// Bytes of one header copy.
const HEADER: u64 = crate::format::log_header::LOG_HEADER_BYTES as u64;

/// How many records a chain has.
const RECORDS: usize = 7;

/// Three logs of which everything up to record `synced` is known to be synced by the end.
fn chain(synced: usize) -> Chain {
    let mut chain = Chain::new();
    for record in 0..RECORDS {
        if record % 3 == 0 {
            chain.next_log();
        }
        chain.put("a body of any length".chars().take(3 * record + 1).collect::<String>());
        if record + 1 == synced {
            chain.sync();
        }
    }
    chain
}

/// What must be read: how many of the first records, or `Corruption`.
#[derive(Debug, PartialEq, Eq)]
enum Want {
    Records(usize),
    Corruption,
}

/// The place from which on nothing can be read, if `stop` is the first damaged one.
fn want(chain: &Chain, stop: LogPosition) -> Want {
    if chain.synced > stop {
        return Want::Corruption;
    }
    Want::Records(chain.written.iter().take_while(|(.., start, _)| *start < stop).count())
}

/// What must be read if byte `at` of a file is changed.
fn want_flipped(chain: &Chain, slot: u64, at: u64) -> Want {
    let mut records = chain.written.iter().zip(&chain.ends);
    let hit = records.find(|((s, start, ..), end)| *s == slot && (*start..**end).contains(&at));
    hit.map_or(Want::Records(RECORDS), |((.., start, _), _)| want(chain, *start))
}

/// What must be read if a file is cut to `len` bytes.
fn want_cut(chain: &Chain, slot: u64, len: u64) -> Want {
    let in_file = |s: u64| s == slot;
    if len < LOG_DATA_START {
        let first = chain.written.iter().find(|(s, ..)| in_file(*s)).unwrap();
        // All of the log is gone, from its base on.
        return want(chain, LogPosition(first.2.0 - first.1));
    }
    let mut records = chain.written.iter().zip(&chain.ends);
    let hit = records.find(|((s, ..), end)| in_file(*s) && **end > len);
    hit.map_or(Want::Records(RECORDS), |((.., start, _), _)| want(chain, *start))
}

type Read<'a> = &'a dyn Fn(&Chain) -> Result<Replayed>;

fn check(chain: &Chain, read: Read<'_>, want: &Want, what: &str) -> Result<(), String> {
    let got = match read(chain) {
        Ok(read) => {
            let found = texts(&read);
            let same = chain.written.iter().map(|(.., text)| text).take(found.len());
            if !found.iter().eq(same) {
                return Err(format!("{what}: {found:?} is no prefix"));
            }
            Want::Records(found.len())
        }
        Err(Error::Corruption { .. }) => Want::Corruption,
        Err(error) => return Err(format!("{what}: {error}")),
    };
    if got == *want { Ok(()) } else { Err(format!("{what}: {got:?}, and not {want:?}")) }
}

/// Changes and cuts every file of the chain everywhere, and stops at the first wrong answer.
fn sweep(synced: usize, read: Read<'_>) -> Result<(), String> {
    let chain = chain(synced);
    check(&chain, read, &Want::Records(RECORDS), "nothing is damaged")?;
    for slot in 1..=3 {
        let file = path(slot);
        let bytes = chain.fs.read_file(&file).unwrap();
        let len = bytes.len() as u64;
        // Between the copies of the header there is nothing but zeros that nobody reads.
        let gap = |at: u64| (HEADER..LOG_SECOND_HEADER).contains(&at) && !at.is_multiple_of(61);
        for at in (0..len).filter(|&at| !gap(at)) {
            let what = format!("{synced} synced, byte {at} of {file}");
            for mask in [1, 0xff] {
                chain.fs.flip(&file, at, mask);
                let checked = check(&chain, read, &want_flipped(&chain, slot, at), &what);
                chain.fs.flip(&file, at, mask);
                checked?;
            }
            chain.fs.write_file(&file, &bytes[..at as usize]);
            let what = format!("{what}, cut");
            let checked = check(&chain, read, &want_cut(&chain, slot, at), &what);
            chain.fs.write_file(&file, &bytes);
            checked?;
        }
        chain.fs.remove_file(&file);
        check(&chain, read, &want_cut(&chain, slot, 0), &format!("{file} is missing"))?;
        chain.fs.write_file(&file, &bytes);
    }
    Ok(())
}

#[test]
fn any_damaged_byte_is_a_torn_tail_or_corruption_below_what_was_synced() {
    // The last record cannot say that it was synced itself.
    for synced in 0..RECORDS {
        sweep(synced, &|chain| chain.read()).unwrap();
    }
    sweep(RECORDS / 2, &|chain| chain.read_by_two()).unwrap();
}

#[test]
fn with_a_floor_that_exists_its_log_may_not_be_missing() {
    let mut chain = chain(0);
    chain.expected.floor_exists = true;
    let bytes = chain.fs.read_file(path(1)).unwrap();
    for len in (0..LOG_DATA_START as usize).step_by(97) {
        chain.fs.write_file(path(1), &bytes[..len]);
        check(&chain, &|chain| chain.read(), &Want::Corruption, "the floor is cut").unwrap();
    }
    chain.expected.floor = LogNumber(2);
    check(&chain, &|chain| chain.read().map(|_| Replayed::default()), &Want::Records(0), "dead")
        .unwrap();
}

/// Readers with planted faults, each of which the sweep must find.
#[test]
fn the_sweep_finds_planted_faults() {
    // One that takes every stop for a torn tail.
    let deaf: Read<'_> = &|chain| match chain.read() {
        Err(Error::Corruption { .. }) => Ok(Replayed::default()),
        result => result,
    };
    assert!(sweep(0, deaf).is_ok(), "there is nothing to overlook");
    assert!(sweep(1, deaf).unwrap_err().contains("not Corruption"));
    // One that loses the last record.
    let short: Read<'_> = &|chain| {
        let mut read = chain.read()?;
        if let Some(log) = read.logs.last_mut()
            && let Some(last) = log.records().last()
        {
            log.end = (last.start - RECORD_HEADER_BYTES) as u64;
        }
        Ok(read)
    };
    assert!(sweep(0, short).unwrap_err().contains("nothing is damaged"));
    // One that leaves a hole.
    let hole: Read<'_> = &|chain| {
        let mut read = chain.read()?;
        if read.logs.len() == 3 {
            read.logs.remove(1);
        }
        Ok(read)
    };
    assert!(sweep(0, hole).unwrap_err().contains("no prefix"));
}
