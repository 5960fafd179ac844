//! A job queue with several workers, which survives its process: jobs wait in the order in which
//! they came, each is taken by exactly one worker, and what a worker left unfinished is put back.
//!
//! `cargo run --example job_queue`. It works in a temporary directory, and checks what it says.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::thread;

use alluvium::{Db, Keyspace, Result, WriteBatch};

/// Jobs by number. A value is `ready TASK`, or `taken TASK`; a finished job is deleted, and the
/// result of it is written in the same batch.
#[derive(Clone)]
struct Queue {
    db: Db,
    jobs: Keyspace,
    done: Keyspace,
}

impl Queue {
    fn open(db: Db) -> Result<Self> {
        let jobs = db.keyspace("jobs")?;
        let done = db.keyspace("done")?;
        Ok(Self { db, jobs, done })
    }

    /// Adds a job at the end.
    fn push(&self, task: &str) -> Result<()> {
        // One step, so that no two jobs get one number. Big-endian, so that bytes sort as numbers.
        let updated = self.db.update("next-job", |now| {
            let now = now.and_then(|now| now.try_into().ok()).map_or(0, u64::from_be_bytes);
            Some((now + 1).to_be_bytes().to_vec())
        })?;
        let number = updated.value.as_deref().unwrap_or_default();
        self.jobs.put(number, format!("ready {task}")).map(drop)
    }

    /// Takes the first job that waits: its key and task.
    fn take(&self) -> Result<Option<(Vec<u8>, String)>> {
        for pair in self.jobs.range(..) {
            let (key, state) = pair?;
            let Some(task) = state.strip_prefix(b"ready ") else { continue };
            let taken = [b"taken ", task].concat();
            // The iterator shows the past: the job is taken if it is still as it was seen.
            if self.jobs.compare_and_swap(&key, Some(&state), Some(&taken))?.swapped() {
                return Ok(Some((key.to_vec(), String::from_utf8_lossy(task).into_owned())));
            }
        }
        Ok(None)
    }

    /// The job leaves the queue and its result appears, in one step.
    fn finish(&self, key: &[u8], result: &str) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.delete_in(&self.jobs, key);
        batch.put_in(&self.done, key, result);
        self.db.write(&batch).map(drop)
    }

    /// After a restart: what was taken and not finished waits again.
    fn put_back(&self) -> Result<usize> {
        let mut count = 0;
        for pair in self.jobs.range(..) {
            let (key, state) = pair?;
            if let Some(task) = state.strip_prefix(b"taken ") {
                self.jobs.put(&key, [b"ready ", task].concat())?;
                count += 1;
            }
        }
        Ok(count)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    const JOBS: usize = 200;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("data");

    let queue = Queue::open(Db::open(&path)?)?;
    for job in 0..JOBS {
        queue.push(&format!("task {job:03}"))?;
    }
    // A worker that takes two jobs and dies.
    assert_eq!(queue.take()?.map(|(_, task)| task).as_deref(), Some("task 000"));
    assert_eq!(queue.take()?.map(|(_, task)| task).as_deref(), Some("task 001"));
    queue.db.close()?;
    drop(queue);

    let queue = Queue::open(Db::open(&path)?)?;
    assert_eq!(queue.put_back()?, 2);
    let work = |queue: Queue| -> Result<usize> {
        let mut finished = 0;
        while let Some((key, task)) = queue.take()? {
            queue.finish(&key, &task.to_uppercase())?;
            finished += 1;
        }
        Ok(finished)
    };
    let workers = [(); 4].map(|()| {
        let queue = queue.clone();
        thread::spawn(move || work(queue))
    });
    let mut finished = 0;
    for worker in workers {
        finished += worker.join().map_err(|_| "a worker panicked")??;
    }
    assert_eq!(finished, JOBS, "each job was finished by one worker");
    assert_eq!(queue.jobs.first()?, None);
    assert_eq!(queue.done.len()?, JOBS as u64);
    println!("{finished} jobs, each finished once");
    Ok(())
}
