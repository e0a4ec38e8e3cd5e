// Making, mapping and checking the ring's file. What runs for every event is in the header.
#include "fairlead/journal/ring.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <new>
#include <utility>

#include "journal/system.hpp"

namespace fairlead::journal {

namespace {

constexpr std::size_t page = 4096;
static_assert(sizeof(RingControl) <= page);

std::uint64_t check_of(const RingControl& control) noexcept {
  std::uint64_t words[offsetof(RingControl, check) / 8], h = 0;
  static_assert(offsetof(RingControl, check) % 8 == 0);
  std::memcpy(words, &control, sizeof(words));
  for (const std::uint64_t word : words) {
    h = (h ^ word) * 0xd6e8feb86659fd93u;
    h ^= h >> 32;
  }
  return h;
}

Failure bad(Status status, const std::string& path, const std::string& why) {
  return {status, 0,
          path + ": " + why + ". It may hold events that a dead process had accepted; to go on without them, remove the file"};
}

}  // namespace

Ring& Ring::operator=(Ring&& other) noexcept {
  if (this != &other) {
    unmap();
    control_ = std::exchange(other.control_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    capacity_ = std::exchange(other.capacity_, 0);
    key_ = other.key_;
    path_ = std::move(other.path_);
  }
  return *this;
}

void Ring::unmap() noexcept {
  if (control_ != nullptr) munmap(control_, page + 2 * bytes());
  control_ = nullptr;
}

Failure Ring::map(int file, std::size_t bytes, bool prepare, Ring& out) {
  void* const all = mmap(nullptr, page + 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return system_failure(errno, out.path_, "cannot reserve addresses for");
  auto* const at = static_cast<std::byte*>(all);
  constexpr int access = PROT_READ | PROT_WRITE;
  if (mmap(at, page + bytes, access, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED ||
      mmap(at + page + bytes, bytes, access, MAP_SHARED | MAP_FIXED, file, page) == MAP_FAILED) {
    const int error = errno;
    munmap(all, page + 2 * bytes);
    return system_failure(error, out.path_, "cannot map");
  }
  if (prepare) {
#if defined(MADV_POPULATE_WRITE)
    if (madvise(at, page + 2 * bytes, MADV_POPULATE_WRITE) != 0)
#endif
      for (std::size_t i = 0; i < page + 2 * bytes; i += page)
        (void)std::atomic_ref<std::byte>(at[i]).load(std::memory_order_relaxed);
  }
  out.control_ = reinterpret_cast<RingControl*>(at);
  out.data_ = at + page;
  out.capacity_ = bytes / unit;
  return {};
}

Failure Ring::create(const std::string& path, const std::array<std::uint8_t, 16>& journal, std::size_t bytes, Seq first,
                     bool prepare, Ring& out) {
  if (!std::has_single_bit(bytes) || bytes < min_bytes || bytes > max_bytes) {
    return {Status::out_of_range, 0, "ring_bytes is " + std::to_string(bytes) + ", must be a power of two from 4096 to 2**29"};
  }
  // Made whole under another name, then put in place: nobody ever sees half a ring.
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());
  const Descriptor file(::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) return system_failure(errno, fresh, "cannot make");
  Ring ring;
  ring.path_ = path;
  Failure failure;
  int error = EINTR;  // shared memory gives it where a signal comes
  while (error == EINTR) error = posix_fallocate(file.get(), 0, static_cast<off_t>(page + bytes));
  if (error != 0) {
    failure = system_failure(error, fresh, "no shared memory of " + std::to_string(page + bytes) + " bytes for");
  } else {
    failure = map(file.get(), bytes, prepare, ring);
  }
  std::uint64_t key = 0;
  if (!failure && !random_bytes(&key, sizeof(key))) failure = system_failure(errno, fresh, "no random numbers for");
  if (!failure) {
    auto* const control = new (ring.control_) RingControl;
    control->journal = journal;
    control->boot = boot_id();
    control->capacity = bytes;
    control->key = ring.key_ = key;
    control->check = check_of(*control);
    const std::uint64_t start = packed({0, first});
    control->claim.store(start, std::memory_order_relaxed);
    control->seen.store(start, std::memory_order_relaxed);
    control->head.store(start, std::memory_order_relaxed);
    control->base.store(first, std::memory_order_relaxed);
    if (rename(fresh.c_str(), path.c_str()) != 0) failure = system_failure(errno, path, "cannot put in place");
  }
  if (failure) {
    unlink(fresh.c_str());
    return failure;
  }
  out = std::move(ring);
  return {};
}

Failure Ring::open(const std::string& path, const std::array<std::uint8_t, 16>& journal, Ring& out, bool& found) {
  found = false;
  const Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() < 0) return errno == ENOENT ? Failure{} : system_failure(errno, path, "cannot open");
  struct stat about = {};
  if (fstat(file.get(), &about) != 0) return system_failure(errno, path, "cannot look at");
  if (!S_ISREG(about.st_mode) || about.st_uid != geteuid()) {
    return bad(Status::journal_damaged, path, "not a file of this user's");
  }
  const auto size = static_cast<std::uint64_t>(about.st_size);
  const std::uint64_t data = size - page;  // wraps around where size < page
  RingControl control;
  if (size < page || pread(file.get(), static_cast<void*>(&control), sizeof(control), 0) != sizeof(control) ||
      control.magic != RingControl::right_magic) {
    return bad(Status::journal_damaged, path, "not a journal's shared memory");
  }
  if (control.version != RingControl::right_version) {
    return bad(Status::unknown_format, path, "of version " + std::to_string(control.version) + ", must be 1");
  }
  if (control.check != check_of(control) || control.size != page || control.journal != journal ||
      control.capacity != data || !std::has_single_bit(data) || data < min_bytes || data > max_bytes) {
    return bad(Status::journal_damaged, path, "shared memory that is damaged, or another journal's");
  }
  if (control.boot != boot_id()) return {};
  Ring ring;
  ring.path_ = path;
  if (Failure failure = map(file.get(), data, false, ring)) return failure;
  ring.key_ = control.key;
  const Position head = ring.head(), end = ring.end();
  const std::uint64_t units = (end.place - head.place) & place_mask;
  if (units > ring.capacity_ || end.seq < head.seq || end.seq - head.seq > units || head.seq == 0) {
    return bad(Status::journal_damaged, path, "the shared memory's control words contradict each other");
  }
  out = std::move(ring);
  found = true;
  return {};
}

Ring::Look Ring::look_again(std::uint64_t units, std::uint64_t seen, std::uint64_t word) noexcept {
  for (;;) {
    if ((word & closed_bit) != 0) return {Status::journal_closed, seen, word};
    if (has_room(word, seen, units)) return {Status::ok, seen, word};
    const std::uint64_t head = control_->head.load(std::memory_order_acquire);
    if (((head ^ seen) & place_mask) == 0) return {Status::journal_full, seen, word};
    control_->seen.store(seen = head, std::memory_order_release);
    word = control_->claim.load(std::memory_order_relaxed);
  }
}

Ring::Position Ring::close() noexcept {
  std::uint64_t word = control_->claim.load(std::memory_order_relaxed);
  while ((word & closed_bit) == 0) {
    control_->last_claim.store(word, std::memory_order_release);
    if (control_->claim.compare_exchange_weak(word, word | closed_bit, std::memory_order_acq_rel)) break;
  }
  return end();
}

Ring::Position Ring::head() const noexcept {
  const std::uint64_t word = control_->head.load(std::memory_order_acquire);
  return {word & place_mask, whole(word, control_->base.load(std::memory_order_relaxed))};
}

Ring::Position Ring::end() const noexcept {
  // `base` as it was when `claim` was read: a later one may be beyond it, and the number would come out 2^24 too large.
  for (Seq base = control_->base.load(std::memory_order_acquire);;) {
    const std::uint64_t word = control_->claim.load(std::memory_order_acquire) & ~closed_bit;
    const Seq again = control_->base.load(std::memory_order_acquire);
    if (again == base) return {word & place_mask, whole(word, base)};
    base = again;
  }
}

void Ring::free(Position position) noexcept {
  control_->head.store(packed(position), std::memory_order_release);
  // Only once head has passed it, and rarely: producers read this line for every event.
  if (position.seq - control_->base.load(std::memory_order_relaxed) >= (std::uint64_t{1} << 22)) {
    control_->base.store(position.seq, std::memory_order_release);
  }
}

std::uint64_t Ring::used() const noexcept {
  const std::uint64_t head = control_->head.load(std::memory_order_acquire);
  return ((control_->claim.load(std::memory_order_relaxed) - head) & place_mask) * unit;
}

std::size_t Ring::copy(const std::byte* from, std::uint32_t length, std::byte* to) noexcept {
  const std::size_t size = padded(length);
  std::memset(to + size - record_alignment, 0, record_alignment);
  RecordHeader none;
  none.length = length;
  std::memcpy(to, &none, 8);
  std::memcpy(to + 8, from + 8, length - 8);
  return size;
}

std::uint32_t Ring::walk(Position& position, bool dense) const noexcept {
  const Position stop = end();
  std::uint64_t left = (stop.place - position.place) & place_mask;
  if (left > capacity_) return 0;
  for (std::uint64_t skipped = 0; left > 0; ++skipped, --left) {
    const std::uint64_t place = position.place + skipped;
    const std::uint32_t length = committed(place);
    if (length < sizeof(RecordHeader) || length > sizeof(RecordHeader) + max_payload || units_of(length) > left) continue;
    RecordHeader header;
    std::memcpy(&header, at(place), sizeof(header));
    if (!dense) {
      position = {place, header.seq};
      return length;
    }
    const Seq beyond = header.seq - position.seq;  // how many numbers lie in the hole: each took a unit at least
    if (header.seq < position.seq || header.seq >= stop.seq || beyond > skipped || (skipped > 0) != (beyond > 0)) continue;
    position = {place, header.seq};
    return length;
  }
  return 0;
}

void Ring::remove() noexcept {
  if (!path_.empty()) unlink(path_.c_str());
}

}  // namespace fairlead::journal
