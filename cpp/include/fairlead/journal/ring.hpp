// The ring in shared memory: any number of producers, one consumer, records of any length, in the order of their numbers.
//
// A file (in /dev/shm) of one page of control words, then the data, mapped twice in a row so that no record is split. It
// outlives its process: whoever opens it next finds every record that was committed.
//
// Space is counted in units of a cache line. One compare-and-swap on `claim` takes place and number together, so the order
// of places is the order of numbers, and a ring without room claims nothing. A record in the ring is what it is on disk,
// but for its first 8 bytes (crc and length): there stands the commit word, stored last, with release. It holds place and
// length under the ring's random key. So bytes of an earlier lap, or a payload, are never taken for a committed record, and
// nothing is zeroed but a word that a record would overwrite in part. Numbers in `claim` and `head` are the low 24 bits; a ring holds fewer records, so the whole
// number follows from `base`.
//
// A process may die between any two instructions. The consumer moves `head` only when what lies before it is kept
// elsewhere; a claim that was never committed is a hole, which `walk` steps over.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "fairlead/journal/format.hpp"
#include "fairlead/journal/log.hpp"
#include "fairlead/status.hpp"

namespace fairlead::journal {

// The first page of the file. What changes lies on lines of their own, two lines apart: processors fetch lines in pairs.
struct RingControl {
  static constexpr std::uint64_t right_magic = 0x31474e4952464c1aULL;  // "\x1aLFRING1"
  static constexpr std::uint32_t right_version = 1;

  std::uint64_t magic = right_magic;
  std::uint32_t version = right_version;
  std::uint32_t size = 4096;
  std::array<std::uint8_t, 16> journal = {};
  std::array<std::uint8_t, 16> boot = {};  // of the machine: memory that a restart has gone through is not to be trusted
  std::uint64_t capacity = 0;              // of the data, bytes
  std::uint64_t key = 0;
  std::uint64_t check = 0;  // of all above

  alignas(128) std::atomic<std::uint64_t> claim = 0;  // producers: number and place of the next claim, or closed
  std::atomic<std::uint64_t> seen = 0;                // producers: a copy of head, at times an old one
  alignas(128) std::atomic<std::uint64_t> head = 0;   // consumer: number and place of the oldest record that is not freed
  alignas(128) std::atomic<std::uint64_t> base = 0;   // consumer: a whole number that head has passed; changes rarely
  std::atomic<std::uint64_t> last_claim = 0;          // what `claim` was when the ring was closed
  alignas(128) std::atomic<std::uint64_t> dropped = 0;  // events refused, and how many of them an event has told of
  std::atomic<std::uint64_t> told = 0;
  std::atomic<std::uint64_t> telling = 0;  // what `told` becomes once the event of this number is committed
  std::atomic<Seq> telling_seq = 0;
};
static_assert(sizeof(RingControl) <= 4096);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

class Ring {
 public:
  static constexpr std::size_t unit = 64;
  static constexpr std::size_t min_bytes = 4096, max_bytes = std::size_t{1} << 29;

  struct Slot {
    std::byte* at = nullptr;  // of the record; its first 8 bytes are the ring's
    Seq seq = 0;
    std::uint64_t commit = 0;  // what commit() will store
  };
  // Where the consumer stands: before the record `seq` at `place`, which is in units and runs on through all laps.
  struct Position {
    std::uint64_t place = 0;
    Seq seq = 0;
    friend bool operator==(const Position&, const Position&) = default;
  };

  Ring() = default;
  ~Ring() { unmap(); }
  Ring(Ring&& other) noexcept { *this = static_cast<Ring&&>(other); }
  Ring& operator=(Ring&& other) noexcept;

  // A new ring whose first record will be `first`, in place of whatever has that path. All its memory is taken now: where
  // there is none left this is a Failure here, not a signal later. `prepare` also maps every page.
  static Failure create(const std::string& path, const std::array<std::uint8_t, 16>& journal, std::size_t bytes,
                        Seq first, bool prepare, Ring& out);
  // The ring that another process left behind. `found` is false, without a Failure, where there is none, or where it is
  // from before the machine was last started. Nothing in the file is believed unchecked.
  static Failure open(const std::string& path, const std::array<std::uint8_t, 16>& journal, Ring& out, bool& found);

  // --- producers ---

  // Room for a record of `length` bytes, header included. journal_full or journal_closed: nothing has happened.
  Status claim(std::uint32_t length, Slot& out) noexcept { return claim(length, 1, out); }

  // Room for n records of `length` bytes that follow each other, all or none; `out` is the first.
  Status claim(std::uint32_t length, std::uint32_t n, Slot& out) noexcept {
    const std::uint64_t units = n * units_of(length);
    if (units > capacity_ / 2) return Status::too_long;
    // First what is free, then what is taken: the other way round `claim` could be behind `seen`.
    std::uint64_t seen = control_->seen.load(std::memory_order_acquire);
    std::uint64_t word = control_->claim.load(std::memory_order_relaxed);
    do {
      if ((word & closed_bit) != 0 || !has_room(word, seen, units)) [[unlikely]] {
        const Look look = look_again(units, seen, word);
        if (look.status != Status::ok) return look.status;
        seen = look.seen;
        word = look.word;
      }
    } while (!control_->claim.compare_exchange_weak(word, after(word, units, n), std::memory_order_relaxed));
    const std::uint64_t place = word & place_mask;
    // No later than this: the consumer does not pass a record that is not committed, so base <= seq.
    out.seq = whole(word, control_->base.load(std::memory_order_relaxed));
    out.at = at(place);
    out.commit = ((place << length_bits) | length) ^ key_;
    make_ready(out.at, length);
    return Status::ok;
  }
  // The i-th of several.
  Slot slot(const Slot& first, std::uint32_t length, std::uint32_t i) const noexcept {
    const std::uint64_t on = i * units_of(length), place = (((first.commit ^ key_) >> length_bits) + on) & place_mask;
    make_ready(first.at + on * unit, length);
    return {first.at + on * unit, first.seq + i, ((place << length_bits) | length) ^ key_};
  }

  static void commit(const Slot& slot) noexcept {
    std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(slot.at))
        .store(slot.commit, std::memory_order_release);
  }

  // Refuses all further claims and gives the position after the last. Those that were made may still be committed.
  Position close() noexcept;

  // --- the consumer ---

  // Length of the record that is committed at this place, or 0.
  std::uint32_t committed(std::uint64_t place) const noexcept {
    const std::uint64_t word =
        std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(at(place))).load(std::memory_order_acquire) ^
        key_;
    return word >> length_bits == (place & place_mask) ? static_cast<std::uint32_t>(word & length_mask) : 0;
  }
  std::byte* at(std::uint64_t place) const noexcept { return data_ + (place & (capacity_ - 1)) * unit; }
  static constexpr std::uint64_t units_of(std::uint32_t length) noexcept { return (length + unit - 1) / unit; }

  // Copies the record to `to` as it is to stand on disk: padded to 8 bytes, crc and prev 0.
  static std::size_t copy(const std::byte* from, std::uint32_t length, std::byte* to) noexcept;

  Position head() const noexcept;
  Position end() const noexcept;  // of all claims so far
  // All before `position` may be overwritten from now on. It must be kept elsewhere before this is called.
  void free(Position position) noexcept;

  // --- after a crash, while nobody else has it ---

  // The next committed record at or after `position`, which moves to it: over holes, by the unit. Gives its length, 0 at
  // the end. The number in its header has been checked against the place, but for a ring whose numbers are not dense.
  std::uint32_t walk(Position& position, bool dense = true) const noexcept;

  bool made() const noexcept { return control_ != nullptr; }
  RingControl& control() const noexcept { return *control_; }
  std::size_t bytes() const noexcept { return capacity_ * unit; }
  std::uint64_t used() const noexcept;  // bytes that are claimed and not freed
  const std::string& path() const noexcept { return path_; }
  void remove() noexcept;  // the file; the memory stays until the end

  static constexpr std::uint64_t place_bits = 39, number_bits = 24, length_bits = 24;
  static constexpr std::uint64_t place_mask = (std::uint64_t{1} << place_bits) - 1;
  static constexpr std::uint64_t number_mask = (std::uint64_t{1} << number_bits) - 1;
  static constexpr std::uint64_t length_mask = (std::uint64_t{1} << length_bits) - 1;
  static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 63;

 private:
  static constexpr std::uint64_t after(std::uint64_t word, std::uint64_t units, std::uint64_t n) noexcept {
    return (((word & ~place_mask) + (n << place_bits)) & ~closed_bit) | ((word + units) & place_mask);
  }
  static constexpr Seq whole(std::uint64_t word, Seq base) noexcept {
    return base + (((word >> place_bits) - base) & number_mask);
  }
  static constexpr std::uint64_t packed(Position position) noexcept {
    return ((position.seq & number_mask) << place_bits) | (position.place & place_mask);
  }
  bool has_room(std::uint64_t word, std::uint64_t seen, std::uint64_t units) const noexcept {
    return ((word - seen) & place_mask) + units <= capacity_;
  }
  // Where an old copy of `head` does not show room: looks at the newest. Else journal_full or journal_closed.
  struct Look {
    Status status = Status::ok;
    std::uint64_t seen = 0, word = 0;
  };
  Look look_again(std::uint64_t units, std::uint64_t seen, std::uint64_t word) noexcept;
  // A record that ends within the first 8 bytes of a unit leaves the rest of what stood there. Were that an old commit
  // word, its high bytes and the payload's last ones could make a newer one: so it goes first.
  static void make_ready(std::byte* at, std::uint32_t length) noexcept {
    if (length % unit - 1 < 7) {
      std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(at + length / unit * unit))
          .store(0, std::memory_order_relaxed);
    }
    prefetch(at);
  }
  // The lines that the claims to come will write, for writing: another core has read them last, and until they have come
  // from there a store waits, and with it the next locked instruction. Each line is asked for several times, from 14 to 6
  // lines ahead, as a request that meets a page not yet in the TLB may be let fall.
  static void prefetch(const std::byte* at) noexcept {
    for (std::size_t line = 6; line < 14; ++line) {
#if defined(__x86_64__)
      asm volatile("prefetchw %0" : : "m"(*(at + line * unit)));
#else
      __builtin_prefetch(at + line * unit, 1);
#endif
    }
  }
  static Failure map(int file, std::size_t bytes, bool prepare, Ring& out);
  void unmap() noexcept;

  RingControl* control_ = nullptr;
  std::byte* data_ = nullptr;
  std::uint64_t capacity_ = 0;  // units, a power of two
  std::uint64_t key_ = 0;
  std::string path_ = {};
};

}  // namespace fairlead::journal
