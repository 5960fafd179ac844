//! Random workloads, and the crashes that they end in.

use super::*;

/// Every file with its bytes.
fn tree(fs: &SimFs) -> Vec<(PathBuf, Vec<u8>)> {
    let mut state = fs.state();
    let names = state.names.clone();
    names.into_iter().map(|(path, inode)| (path, state.content(inode).visible.clone())).collect()
}

fn check_well_formed(fs: &SimFs) {
    let state = fs.state();
    for names in [&state.names, &state.names_durable] {
        assert!(names.values().all(|inode| state.contents.contains_key(inode)));
        assert!(names.keys().all(|path| path.parent().is_some_and(|dir| state.is_dir(dir))));
    }
}

fn random_step(fs: &SimFs, files: &mut Vec<Arc<dyn FsFile>>, below: &mut impl FnMut(u64) -> u64) {
    let mut random_path =
        || PathBuf::from(format!("{}/{}", ["a", "b"][below(2) as usize], below(3)));
    let path = random_path();
    let other = random_path();
    let pick = below(files.len().max(1) as u64) as usize;
    let file = files.get(pick);
    // Most steps fail now and then, as when a name is taken; that is part of the workload.
    let done = match below(12) {
        0 | 1 => fs.open(&path, OpenMode::CreateNew).map(|file| files.push(file)),
        2 => fs.open(&path, OpenMode::ReadWrite).map(|file| files.push(file)),
        3 if !files.is_empty() => {
            drop(files.swap_remove(pick));
            Ok(())
        }
        4 => fs.rename(&path, &other),
        5 => fs.remove(&path),
        10 => fs.hard_link(&path, &other),
        6 => fs.sync_dir(path.parent().unwrap()),
        7 => file.map_or(Ok(()), |file| file.sync_data()),
        8 => file.map_or(Ok(()), |file| file.sync_below(below(2_000))),
        9 => file.map_or(Ok(()), |file| file.set_len(below(3_000))),
        _ => file.map_or(Ok(()), |file| {
            let byte = below(256) as u8;
            file.write_all_at(&vec![byte; below(1_500) as usize], below(2_000))
        }),
    };
    drop(done);
}

#[test]
fn random_workloads_crash_into_sound_file_systems() {
    let first = std::env::var("ALLUVIUM_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = first.unwrap_or(1);
    for seed in first..first + 60 {
        eprintln!("ALLUVIUM_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut below = |bound: u64| random.u64(..bound);
        let fs = SimFs::new();
        fs.create_dir_all(Path::new("a")).unwrap();
        fs.create_dir_all(Path::new("b")).unwrap();
        let mut files = Vec::new();
        for _ in 0..below(120) {
            random_step(&fs, &mut files, &mut below);
            check_well_formed(&fs);
        }
        let context = format!("ALLUVIUM_SEED={seed}");
        let live = tree(&fs);
        let lost = tree(&fs.crash(CrashMode::PowerLoseAll, seed));
        for &mode in CrashMode::ALL {
            let after = fs.crash(mode, seed);
            check_well_formed(&after);
            match mode {
                CrashMode::Process => {
                    assert_eq!(tree(&after), live, "{context}");
                    let later = after.crash(CrashMode::PowerLoseAll, seed);
                    assert_eq!(tree(&later), lost, "{context}");
                }
                CrashMode::PowerKeepAll => assert_eq!(tree(&after), live, "{context}"),
                CrashMode::PowerZeros | CrashMode::PowerGarbage => {
                    let shape = |tree: Vec<(PathBuf, Vec<u8>)>| {
                        tree.into_iter().map(|(path, it)| (path, it.len())).collect::<Vec<_>>()
                    };
                    assert_eq!(shape(tree(&after)), shape(live.clone()), "{context} {mode:?}");
                }
                _ => {}
            }
            let settled = tree(&after);
            if mode != CrashMode::Process {
                let again = after.crash(CrashMode::PowerLoseAll, 0);
                assert_eq!(tree(&again), settled, "{context} {mode:?}: a start finds it durable");
            }
        }
        let synced = fs.crash(CrashMode::Process, seed);
        for (path, _) in &live {
            synced.open(path, OpenMode::Read).unwrap().sync_data().unwrap();
        }
        synced.sync_dir(Path::new("a")).unwrap();
        synced.sync_dir(Path::new("b")).unwrap();
        assert_eq!(tree(&synced.crash(CrashMode::PowerLoseAll, seed)), live, "{context}");
    }
}
