//! How are two batches in flight on one device?
//!
//! A batch goes up in one copy, and what comes of it comes down when its own event has passed: the
//! host writes the next one while the device computes. Each batch in flight has a slot, with all that
//! the host writes and reads, and with its vectors; what the kernels use between is shared, since the
//! stream orders them.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, result};

use super::batch::Sequences;
use super::context::{Cuda, failed};
use super::element::{Element, Plain};
use super::memory::{Arena, Buffer, DeviceRows};
use super::pinned::Pinned;
use super::rows::tail;
use crate::base::error::Result;
use crate::device::cpu::ops::Segment;
use crate::device::{DeviceIndex, Neighbors};

/// One batch on the device, and the next one that waits behind it.
const SLOTS: usize = 2;

/// How long a thread stays awake for a batch: a query's is done by then, and being woken would take as
/// long as its network.
const SPIN_MAX: Duration = Duration::from_millis(1);

/// What a batch in flight has of its own.
struct Slot {
    up: Pinned,
    /// One for each buffer that is fetched.
    down: Vec<Pinned>,
    /// `[n, hidden]`: the pooled vectors.
    vectors: DeviceRows<f32>,
    /// One for each search of this batch.
    neighbors: Vec<Neighbors>,
    /// Around the searches.
    timer: [CudaEvent; 2],
    /// Passes when the device no longer uses `up` and `down`.
    event: CudaEvent,
    /// The event was recorded, and nobody has waited for it.
    busy: bool,
}

impl Slot {
    fn new(cuda: &Cuda) -> Result<Self> {
        let event = cuda.context().new_event(Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC));
        let event = event.map_err(failed("make an event"))?;
        let clock = || cuda.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let clock = || clock().map_err(failed("make an event"));
        Ok(Self {
            up: Pinned::new(cuda, 0)?,
            down: Vec::new(),
            vectors: DeviceRows::default(),
            neighbors: Vec::new(),
            timer: [clock()?, clock()?],
            event,
            busy: false,
        })
    }

    fn settle(&mut self) -> Result<()> {
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

/// The slots of one device that no batch has, the one that came back first in front.
pub struct Slots {
    cuda: Arc<Cuda>,
    free: Mutex<VecDeque<Slot>>,
    came_back: Condvar,
}

impl Slots {
    pub fn new(cuda: &Arc<Cuda>) -> Result<Arc<Self>> {
        let free = (0..SLOTS).map(|_| Slot::new(cuda)).collect::<Result<_>>()?;
        Ok(Arc::new(Self { cuda: cuda.clone(), free: Mutex::new(free), came_back: Condvar::new() }))
    }

    /// A batch that begins. Waits while two flights are open, and for the device where it still uses
    /// the slot of one that was dropped: a thread must not hold two and ask for a third.
    pub fn take(self: &Arc<Self>) -> Result<Flight> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.came_back.wait_while(free, |free| free.is_empty());
        let slot = free.unwrap_or_else(PoisonError::into_inner).pop_front();
        let slot = slot.expect("it was waited for");
        let mut flight =
            Flight { slot: Some(slot), slots: self.clone(), marked: true, fetched: 0, searched: 0 };
        flight.slot().settle()?;
        Ok(flight)
    }
}

/// A batch on its way. Dropping it is safe at any time: its slot is used again when the device is done
/// with it.
pub struct Flight {
    /// Until it is dropped.
    slot: Option<Slot>,
    slots: Arc<Slots>,
    /// The slot's event was recorded after all that was launched for this flight.
    marked: bool,
    /// Buffers that were fetched.
    fetched: usize,
    searched: usize,
}

/// The result of a search on its way to the host: `[queries, k]` each, as in [`Neighbors`].
pub struct FetchedNeighbors {
    pub scores: Fetched<f32>,
    pub ids: Fetched<i64>,
}

/// A buffer on its way to the host, for the flight that fetched it.
pub struct Fetched<V> {
    index: usize,
    len: usize,
    values: PhantomData<V>,
}

impl Flight {
    /// For a parcel of at most `bytes`, which will lie in `arena` from where that is free.
    pub fn parcel<'a>(&'a mut self, arena: &'a mut Arena, bytes: usize) -> Result<Parcel<'a>> {
        let cuda = self.slots.cuda.clone();
        assert!(self.marked, "a flight sends one parcel");
        let up = &mut self.slot().up;
        if up.bytes() < bytes {
            *up = Pinned::new(&cuda, bytes.next_power_of_two())?;
        }
        let begin = arena.used_bytes();
        Ok(Parcel { flight: self, arena, begin })
    }

    /// Pools each sequence of `hidden`, `[tokens, d]`, into this flight's vectors.
    pub fn pool<T: Element>(
        &mut self,
        hidden: &DeviceRows<T>,
        sequences: &Sequences,
        segment: Segment,
        normalize: bool,
    ) -> Result<()> {
        let cuda = self.slots.cuda.clone();
        self.marked = false;
        let vectors = &mut self.slot().vectors;
        vectors.reserve(&cuda, sequences.n(), hidden.d())?;
        vectors.resize(sequences.n(), hidden.d());
        tail(&cuda, hidden, sequences, segment, normalize, vectors)
    }

    /// `[n, hidden]`, in the order of the stream: what is launched there finds them, as long as the
    /// flight is open.
    pub fn vectors(&self) -> &DeviceRows<f32> {
        &self.slot.as_ref().expect(OPEN).vectors
    }

    /// Enqueues a copy of the vectors to the host.
    pub fn fetch_vectors(&mut self) -> Result<Fetched<f32>> {
        let vectors = self.vectors().buffer();
        self.fetch(vectors)
    }

    /// Enqueues a search of `index` for the best `k` for each of `rows` of the vectors, and a copy of
    /// the result to the host.
    pub fn search(
        &mut self,
        index: &dyn DeviceIndex,
        rows: Range<usize>,
        k: usize,
    ) -> Result<FetchedNeighbors> {
        let (cuda, at) = (self.slots.cuda.clone(), self.searched);
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
        self.searched += 1;
        Ok(FetchedNeighbors { scores: self.fetch(scores)?, ids: self.fetch(ids)? })
    }

    /// Enqueues a copy of `buffer` to the host: what was launched before this on the device's stream is
    /// in it. Page-locked memory grows to the largest fetch so far.
    pub(super) fn fetch<V: Plain>(&mut self, buffer: Option<Buffer<V>>) -> Result<Fetched<V>> {
        let (cuda, index) = (self.slots.cuda.clone(), self.fetched);
        let len = buffer.as_ref().map_or(0, Buffer::len);
        let bytes = len * size_of::<V>();
        let down = &mut self.slot().down;
        if down.get(index).is_none_or(|down| down.bytes() < bytes) {
            down.truncate(index);
            down.push(Pinned::new(&cuda, bytes.next_power_of_two())?);
        }
        let to = down[index].pointer::<V>(0, len);
        self.fetched += 1;
        if let Some(from) = buffer.filter(|from| !from.is_empty()) {
            cuda.bind()?;
            self.marked = false;
            // SAFETY: `pointer` checked the room; it is read when the event has passed, and no other
            // copy goes there before, since the slot is this flight's. The device has `len` values.
            unsafe {
                let to = std::slice::from_raw_parts_mut(to, len);
                result::memcpy_dtoh_async(to, from.pointer(&cuda), cuda.stream.cu_stream())
            }
            .map_err(failed("copy from the device"))?;
        }
        self.mark()?;
        Ok(Fetched { index, len, values: PhantomData })
    }

    /// Waits until all is there that was fetched, and for nothing that was launched after it.
    pub fn wait(mut self) -> Result<Landed> {
        self.mark()?;
        self.slot().settle()?;
        Ok(Landed { flight: self })
    }

    /// The event passes after what was launched so far.
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

const OPEN: &str = "a flight has a slot until it is dropped";

impl Drop for Flight {
    fn drop(&mut self) {
        // Where the device is lost nobody can use the slot, and the next flight is told so.
        let _ = self.mark();
        let mut free = self.slots.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.slot.take());
        self.slots.came_back.notify_one();
    }
}

/// A batch whose results are on the host.
pub struct Landed {
    flight: Flight,
}

impl Landed {
    /// How long the device searched for this batch, its searches together.
    pub fn searched(&self) -> Result<Duration> {
        let slot = self.flight.slot.as_ref().expect(OPEN);
        if self.flight.searched == 0 {
            return Ok(Duration::ZERO);
        }
        let [from, to] = &slot.timer;
        let ms = from.elapsed_ms(to).map_err(failed("read the device's clock"))?;
        Ok(Duration::from_secs_f32(ms.max(0.0) / 1e3))
    }

    /// All values: `[n * d]`, row-major.
    pub fn values<V: Plain>(&self, of: &Fetched<V>) -> &[V] {
        let slot = self.flight.slot.as_ref().expect(OPEN);
        let from = slot.down[of.index].pointer::<V>(0, of.len);
        // SAFETY: `pointer` checked the size; the copies to it are done, and none begins while the
        // flight has the slot; any bits are a value.
        unsafe { std::slice::from_raw_parts(from, of.len) }
    }
}

/// What a batch sends: written on the host as it will lie on the device, and copied at once.
pub struct Parcel<'a> {
    flight: &'a mut Flight,
    arena: &'a mut Arena,
    /// Where it begins in the arena.
    begin: usize,
}

impl Parcel<'_> {
    /// `[len]` values, zeros behind those that are given. values: `[at most len]`.
    pub fn place<T: Plain>(&mut self, values: &[T], len: usize) -> Result<Buffer<T>> {
        let at = self.arena.used_bytes() - self.begin;
        let buffer = self.arena.take(len)?;
        let to: *mut T = self.flight.slot().up.pointer(at, len);
        // SAFETY: `pointer` checked the room for `len` values; no copy reads there, since the slot
        // was settled when the flight began, and it has sent nothing. Zeros are a value of `Plain`.
        unsafe {
            to.write_bytes(0, len);
            std::slice::from_raw_parts_mut(to, len)[..values.len()].copy_from_slice(values);
        }
        Ok(buffer)
    }

    /// Enqueues the copy to the device.
    pub fn send(self) -> Result<()> {
        let Self { flight, arena, begin } = self;
        let cuda = flight.slots.cuda.clone();
        let bytes = arena.used_bytes() - begin;
        if bytes == 0 {
            return Ok(());
        }
        let from: *mut u8 = flight.slot().up.pointer(0, bytes);
        cuda.bind()?;
        flight.marked = false;
        // SAFETY: `pointer` checked the size, and all of it was written at some time; it is not
        // written again before the slot's event has passed. The arena has as many bytes there.
        unsafe {
            let from = std::slice::from_raw_parts(from, bytes);
            result::memcpy_htod_async(arena.pointer(&cuda, begin), from, cuda.stream.cu_stream())
        }
        .map_err(failed("copy to the device"))
    }
}
