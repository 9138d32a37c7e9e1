//! Tests of the cache's guarantees.

use super::*;

const D: usize = 3;

fn open(folder: &Path, bytes_max: u64) -> VectorCache {
    VectorCache::open(folder, "model a", D, bytes_max).unwrap()
}

fn len(cache: &VectorCache) -> usize {
    cache.state.read().places.len()
}

fn vector(i: usize) -> [f32; D] {
    [i as f32, 0.1 + i as f32, -1.5]
}

fn put(cache: &VectorCache, i: usize) {
    let usage = Usage { tokens: i as u32, truncated: i % 2 == 1 };
    let key = cache.key(&format!("text {i}"));
    cache.insert(&[Record { key, usage, vector: &vector(i) }]).unwrap();
}

/// Whether the cache holds text `i`. Asserts that a vector found is correct.
fn has(cache: &VectorCache, i: usize) -> bool {
    let mut row = [0.0; D];
    let Some(usage) = cache.get(&cache.key(&format!("text {i}")), &mut row) else {
        return false;
    };
    assert_eq!(row, vector(i));
    assert_eq!(usage, Usage { tokens: i as u32, truncated: i % 2 == 1 });
    true
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e != "lock"));
    files.sort();
    files
}

fn bytes(folder: &Path) -> u64 {
    files(folder).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn what_was_kept_is_served_bit_for_bit_now_and_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1 << 20);
    (0..10).for_each(|i| put(&cache, i));
    assert!((0..10).all(|i| has(&cache, i)) && !has(&cache, 10));
    drop(cache);
    let cache = open(folder.path(), 1 << 20);
    assert_eq!(len(&cache), 10);
    assert!((0..10).all(|i| has(&cache, i)) && !has(&cache, 10));
}

#[test]
fn a_vector_that_is_not_finite_is_neither_stored_nor_served() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1 << 20);
    let key = cache.key("bad");
    let bad = Record { key, usage: Usage::default(), vector: &[1.0, f32::NAN, 2.0] };
    cache.insert(&[bad]).unwrap();
    assert_eq!((len(&cache), files(folder.path()).len()), (0, 0));
    // As another version may have written it.
    cache.append(&mut cache.state.write(), &[bad]).unwrap();
    drop(cache);
    let cache = open(folder.path(), 1 << 20);
    assert_eq!((len(&cache), cache.get(&key, &mut [0.0; D])), (1, None));
    put(&cache, 1);
    assert!(has(&cache, 1) && len(&cache) == 1);
}

#[test]
fn a_file_cut_at_any_byte_of_its_last_record_serves_the_records_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1 << 20);
    (0..3).for_each(|i| put(&cache, i));
    drop(cache);
    for (path, record_bytes) in files(folder.path()).iter().zip([40, D * 4]) {
        let whole = fs::read(path).unwrap();
        for cut in 1..=record_bytes {
            fs::write(path, &whole[..whole.len() - cut]).unwrap();
            let cache = open(folder.path(), 1 << 20);
            assert!(has(&cache, 0) && has(&cache, 1) && !has(&cache, 2), "{path:?} cut by {cut}");
            // The next writer starts its own segment and does not append to the truncated one.
            put(&cache, 2);
            assert!(has(&cache, 2));
            drop(cache);
            for new in files(folder.path()).into_iter().skip(2) {
                fs::remove_file(new).unwrap();
            }
        }
        fs::write(path, whole).unwrap();
    }
}

#[test]
fn a_flipped_bit_is_a_miss_and_not_a_wrong_vector() {
    let folder = tempfile::tempdir().unwrap();
    put(&open(folder.path(), 1 << 20), 0);
    for path in files(folder.path()) {
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, damaged).unwrap();
            // A lookup reads only the first 8 bytes of a stored key, so damage to the others is
            // harmless.
            let harmless = path.extension().unwrap() == "key" && (56..80).contains(&at);
            let cache = open(folder.path(), 1 << 20);
            assert_eq!(has(&cache, 0), harmless, "{path:?} byte {at}");
            fs::write(&path, &whole).unwrap();
        }
    }
    assert!(has(&open(folder.path(), 1 << 20), 0));
}

#[test]
fn another_model_or_another_dimension_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    put(&open(folder.path(), 1 << 20), 0);
    let other = VectorCache::open(folder.path(), "model b", D, 1 << 20).unwrap();
    assert!(len(&other) == 0 && !has(&other, 0));
    let wide = VectorCache::open(folder.path(), "model a", D + 1, 1 << 20).unwrap();
    assert_eq!(wide.get(&wide.key("text 0"), &mut [0.0; D + 1]), None);
    assert!(has(&open(folder.path(), 1 << 20), 0));
}

#[test]
fn the_bound_holds_and_the_oldest_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let bytes_max = 8192;
    let cache = open(folder.path(), bytes_max);
    for i in 0..1000 {
        put(&cache, i);
        assert!(bytes(folder.path()) <= bytes_max);
        assert!(has(&cache, i));
    }
    assert!(!has(&cache, 0), "the oldest is gone");
    let kept = len(&cache);
    assert!(kept > 50, "room for {} records, {kept} kept", bytes_max / 52);
    drop(cache);
    // A lowered limit applies as soon as the cache is opened.
    let cache = open(folder.path(), 2048);
    assert!(bytes(folder.path()) <= 2048 && has(&cache, 999));
    // A limit without room for one vector stores none and causes no error.
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 16);
    put(&cache, 0);
    assert!(!has(&cache, 0) && bytes(folder.path()) == 0);
}

#[test]
fn two_writers_share_a_folder_and_a_third_reads_both() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (open(folder.path(), 1 << 20), open(folder.path(), 1 << 20));
    std::thread::scope(|scope| {
        scope.spawn(|| (0..200).for_each(|i| put(&a, i)));
        scope.spawn(|| (100..300).for_each(|i| put(&b, i)));
    });
    let both = open(folder.path(), 1 << 20);
    assert_eq!(len(&both), 300);
    assert!((0..300).all(|i| has(&both, i)));
}

#[test]
fn a_writer_whose_segment_was_removed_starts_another() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1 << 20);
    put(&cache, 0);
    files(folder.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    put(&cache, 1);
    assert!(has(&cache, 1) && !has(&cache, 0));
    assert!(has(&open(folder.path(), 1 << 20), 1));
}

#[test]
fn many_small_segments_become_one_but_never_that_of_a_living_writer() {
    let folder = tempfile::tempdir().unwrap();
    let living = open(folder.path(), 1 << 20);
    put(&living, 999);
    for i in 0..SMALL_SEGMENTS_MAX + 5 {
        let cache = open(folder.path(), 1 << 20);
        assert!(!has(&cache, i));
        put(&cache, i);
    }
    let merged = open(folder.path(), 1 << 20);
    let segments = files(folder.path()).len() / 2;
    assert!(segments < 10, "{segments} segments");
    assert!((0..SMALL_SEGMENTS_MAX + 5).all(|i| has(&merged, i)) && has(&merged, 999));
    put(&living, 1000);
    assert!(has(&open(folder.path(), 1 << 20), 1000));
}
