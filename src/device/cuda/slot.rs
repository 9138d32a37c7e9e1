//! Slots, by which two batches are in flight on one device.
//!
//! A batch is uploaded in one copy, and its results are read back when its own event has passed:
//! the host writes the next batch while the device computes. Each batch in flight has a slot with
//! the memory that the host writes and reads, and with its vectors. The buffers of the kernels in
//! between are shared, since the stream orders them.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, result};
use parking_lot::{Condvar, Mutex};

use super::context::Cuda;
use super::element::Plain;
use super::error::failed;
use super::memory::{Arena, Buffer, DeviceRows};
use super::pinned::Pinned;
use crate::base::error::Result;
use crate::device::{DeviceIndex, Neighbors};

/// One batch on the device, and the next one behind it.
const SLOTS: usize = 2;

/// How long a thread spins for a batch: that of a query is done by then, and a wake-up would take
/// as long as its network.
const SPIN_MAX: Duration = Duration::from_millis(1);

/// The memory and the events of a batch in flight.
struct Slot {
    upload: Pinned,
    /// One for each buffer that is read back.
    readbacks: Vec<Pinned>,
    /// `[n, hidden]`: the pooled vectors.
    vectors: DeviceRows<f32>,
    /// One for each search of this batch.
    neighbors: Vec<Neighbors>,
    /// Around the searches.
    timer: [CudaEvent; 2],
    /// Passes when the device no longer uses `upload` and `readbacks`.
    event: CudaEvent,
    /// Whether the event was recorded and not yet waited for.
    busy: bool,
}

impl Slot {
    fn new(cuda: &Cuda) -> Result<Self> {
        let event = |flags| cuda.context().new_event(Some(flags)).map_err(failed("make an event"));
        Ok(Self {
            upload: Pinned::new(cuda, 0)?,
            readbacks: Vec::new(),
            vectors: DeviceRows::default(),
            neighbors: Vec::new(),
            timer: [
                event(CUevent_flags::CU_EVENT_DEFAULT)?,
                event(CUevent_flags::CU_EVENT_DEFAULT)?,
            ],
            event: event(CUevent_flags::CU_EVENT_BLOCKING_SYNC)?,
            busy: false,
        })
    }

    /// Waits until the device no longer uses the slot.
    fn wait(&mut self) -> Result<()> {
        if self.busy {
            let began = Instant::now();
            let done = || self.event.try_is_complete().map_err(failed("finish a batch"));
            while !done()? {
                if began.elapsed() > SPIN_MAX {
                    self.event.synchronize().map_err(failed("finish a batch"))?;
                    break;
                }
                std::hint::spin_loop();
            }
            self.busy = false;
        }
        Ok(())
    }
}

/// The free slots of one device, the one that was returned first in front.
pub struct Slots {
    cuda: Arc<Cuda>,
    free: Mutex<VecDeque<Slot>>,
    returned: Condvar,
}

impl Slots {
    pub fn new(cuda: &Arc<Cuda>) -> Result<Arc<Self>> {
        let free = (0..SLOTS).map(|_| Slot::new(cuda)).collect::<Result<_>>()?;
        Ok(Arc::new(Self { cuda: cuda.clone(), free: Mutex::new(free), returned: Condvar::new() }))
    }

    /// A slot for a new batch. Waits while all are taken, and for the device if it still uses the
    /// slot of a batch that was dropped: a thread must not hold two slots and ask for a third.
    pub fn take(self: &Arc<Self>) -> Result<SlotGuard> {
        let mut free = self.free.lock();
        self.returned.wait_while(&mut free, |free| free.is_empty());
        let slot = free.pop_front().expect("a slot was returned");
        drop(free);
        let mut guard = SlotGuard {
            slot: Some(slot),
            slots: self.clone(),
            marked: true,
            readbacks: 0,
            searches: 0,
        };
        guard.slot().wait()?;
        Ok(guard)
    }
}

/// The slot of a batch in flight. Dropping it is safe at any time: the slot is used again when the
/// device is done with it.
pub struct SlotGuard {
    /// `Some` until this is dropped.
    slot: Option<Slot>,
    slots: Arc<Slots>,
    /// Whether the slot's event was recorded after everything that was launched for this batch.
    marked: bool,
    /// Buffers that were read back so far.
    readbacks: usize,
    searches: usize,
}

/// The result of a search on its way to the host: `[queries, k]` each, as in [`Neighbors`].
pub struct NeighborsReadback {
    pub scores: Readback<f32>,
    pub ids: Readback<i64>,
}

/// A buffer on its way to the host, in the slot that reads it back.
pub struct Readback<V> {
    index: usize,
    len: usize,
    values: PhantomData<V>,
}

impl SlotGuard {
    /// An upload of at most `bytes`, into `arena` from its first free byte on.
    pub fn upload<'a>(
        &'a mut self,
        arena: &'a mut Arena,
        bytes: usize,
    ) -> Result<StagedUpload<'a>> {
        let cuda = self.slots.cuda.clone();
        assert!(self.marked, "each batch in flight uploads exactly once");
        let pinned = &mut self.slot().upload;
        if pinned.bytes() < bytes {
            *pinned = Pinned::new(&cuda, bytes.next_power_of_two())?;
        }
        let begin = arena.used_bytes();
        Ok(StagedUpload { guard: self, arena, begin })
    }

    /// The vectors of the batch, `[n, d]`, for a launch that writes them.
    pub(super) fn reserve_vectors(&mut self, n: usize, d: usize) -> Result<&mut DeviceRows<f32>> {
        let cuda = self.slots.cuda.clone();
        self.marked = false;
        let vectors = &mut self.slot().vectors;
        vectors.reserve(&cuda, n, d)?;
        vectors.resize(n, d);
        Ok(vectors)
    }

    /// `[n, hidden]`, in the order of the stream: later launches read them, as long as this guard
    /// lives.
    pub fn vectors(&self) -> &DeviceRows<f32> {
        &self.slot.as_ref().expect(OPEN).vectors
    }

    /// Enqueues a copy of the vectors to the host.
    pub fn read_back_vectors(&mut self) -> Result<Readback<f32>> {
        let vectors = self.vectors().buffer();
        self.read_back(vectors)
    }

    /// Enqueues a search of `index` for the best `k` for each of `rows` of the vectors, and a copy
    /// of the result to the host.
    pub fn search(
        &mut self,
        index: &dyn DeviceIndex,
        rows: Range<usize>,
        k: usize,
    ) -> Result<NeighborsReadback> {
        let (cuda, at) = (self.slots.cuda.clone(), self.searches);
        let first = at == 0;
        self.marked = false;
        let record =
            |event: &CudaEvent| event.record(&cuda.stream).map_err(failed("record an event"));
        let slot = self.slot();
        if slot.neighbors.len() == at {
            slot.neighbors.push(Neighbors::default());
        }
        if first {
            record(&slot.timer[0])?;
        }
        index.search(&slot.vectors, rows, k, &mut slot.neighbors[at])?;
        record(&slot.timer[1])?;
        let (scores, ids) = (slot.neighbors[at].scores.buffer(), slot.neighbors[at].ids.buffer());
        self.searches += 1;
        Ok(NeighborsReadback { scores: self.read_back(scores)?, ids: self.read_back(ids)? })
    }

    /// Enqueues a copy of `buffer` to the host, behind everything launched before. Page-locked
    /// memory grows to the largest copy so far.
    pub(super) fn read_back<V: Plain>(&mut self, buffer: Option<Buffer<V>>) -> Result<Readback<V>> {
        let (cuda, index) = (self.slots.cuda.clone(), self.readbacks);
        let len = buffer.as_ref().map_or(0, Buffer::len);
        let bytes = len * size_of::<V>();
        let readbacks = &mut self.slot().readbacks;
        if readbacks.get(index).is_none_or(|pinned| pinned.bytes() < bytes) {
            readbacks.truncate(index);
            readbacks.push(Pinned::new(&cuda, bytes.next_power_of_two())?);
        }
        let to = readbacks[index].pointer::<V>(0, len);
        self.readbacks += 1;
        if let Some(from) = buffer.filter(|from| !from.is_empty()) {
            cuda.bind()?;
            self.marked = false;
            // SAFETY: `pointer` checked the room; it is read when the event has passed, and no
            // other copy goes there before, since this guard has the slot. The device has `len`
            // values.
            unsafe {
                let to = std::slice::from_raw_parts_mut(to, len);
                result::memcpy_dtoh_async(to, from.pointer(&cuda), cuda.stream.cu_stream())
            }
            .map_err(failed("copy from the device"))?;
        }
        self.mark()?;
        Ok(Readback { index, len, values: PhantomData })
    }

    /// Waits until everything is read back, and for nothing that was launched after that.
    pub fn wait(mut self) -> Result<FinishedSlot> {
        self.mark()?;
        self.slot().wait()?;
        Ok(FinishedSlot { guard: self })
    }

    /// Records the event behind everything launched so far.
    fn mark(&mut self) -> Result<()> {
        if !self.marked {
            let cuda = self.slots.cuda.clone();
            let slot = self.slot();
            slot.event.record(&cuda.stream).map_err(failed("record an event"))?;
            slot.busy = true;
            self.marked = true;
        }
        Ok(())
    }

    fn slot(&mut self) -> &mut Slot {
        self.slot.as_mut().expect(OPEN)
    }
}

const OPEN: &str = "a guard has its slot until it is dropped";

impl Drop for SlotGuard {
    fn drop(&mut self) {
        // If the device is lost, nobody can use the slot, and the next batch gets that error.
        let _ = self.mark();
        self.slots.free.lock().extend(self.slot.take());
        self.slots.returned.notify_one();
    }
}

/// The slot of a batch whose results are on the host.
pub struct FinishedSlot {
    guard: SlotGuard,
}

impl FinishedSlot {
    /// How long the device searched for this batch, its searches together.
    pub fn searched(&self) -> Result<Duration> {
        let slot = self.guard.slot.as_ref().expect(OPEN);
        if self.guard.searches == 0 {
            return Ok(Duration::ZERO);
        }
        let [from, to] = &slot.timer;
        let ms = from.elapsed_ms(to).map_err(failed("read the device's clock"))?;
        Ok(Duration::from_secs_f32(ms.max(0.0) / 1e3))
    }

    /// All values: `[n * d]`, row-major.
    pub fn values<V: Plain>(&self, readback: &Readback<V>) -> &[V] {
        let slot = self.guard.slot.as_ref().expect(OPEN);
        let from = slot.readbacks[readback.index].pointer::<V>(0, readback.len);
        // SAFETY: `pointer` checked the size; the copies to it are done, and none begins while the
        // guard has the slot; any bits are a value.
        unsafe { std::slice::from_raw_parts(from, readback.len) }
    }
}

/// The upload of a batch: written in page-locked memory in the layout of the device, and sent in
/// one copy.
pub struct StagedUpload<'a> {
    guard: &'a mut SlotGuard,
    arena: &'a mut Arena,
    /// Where it begins in the arena.
    begin: usize,
}

impl StagedUpload<'_> {
    /// A buffer of `len` values: `values`, then zeros. values: `[at most len]`.
    pub fn place<T: Plain>(&mut self, values: &[T], len: usize) -> Result<Buffer<T>> {
        let at = self.arena.used_bytes() - self.begin;
        let buffer = self.arena.take(len)?;
        let to: *mut T = self.guard.slot().upload.pointer(at, len);
        // SAFETY: `pointer` checked the room for `len` values; no copy reads there, since the slot
        // was waited for when the guard took it, and has sent nothing. Zeros are a value of
        // `Plain`.
        unsafe {
            to.write_bytes(0, len);
            std::slice::from_raw_parts_mut(to, len)[..values.len()].copy_from_slice(values);
        }
        Ok(buffer)
    }

    /// Enqueues the copy to the device.
    pub fn send(self) -> Result<()> {
        let Self { guard, arena, begin } = self;
        let cuda = guard.slots.cuda.clone();
        let bytes = arena.used_bytes() - begin;
        if bytes == 0 {
            return Ok(());
        }
        let from: *mut u8 = guard.slot().upload.pointer(0, bytes);
        cuda.bind()?;
        guard.marked = false;
        // SAFETY: `pointer` checked the size, and all of it was written at some time; it is not
        // written again before the slot's event has passed. The arena has as many bytes there.
        unsafe {
            let from = std::slice::from_raw_parts(from, bytes);
            result::memcpy_htod_async(arena.pointer(&cuda, begin), from, cuda.stream.cu_stream())
        }
        .map_err(failed("copy to the device"))
    }
}
