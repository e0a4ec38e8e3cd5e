// Answers that were paid for already: an exact cache in a fixed piece of memory.
//
// What is asked is a model, a market state and a prompt. The prompt is normalised: runs of Unicode white space (property
// White_Space) become one space, and none is left at the ends. Nothing else is: neither case nor Unicode forms are folded.
// The key is stored and compared byte by byte, so that two prompts that share a hash are still told apart: there are no
// false hits. The hash is keyed, so that nobody can make prompts that collide without knowing the seed.
//
// Memory: `limit_bytes` is taken once, for everything: blocks of 256 bytes, which hold entries as chains, an index, and the
// memory of what was evicted. Pages that were never used cost nothing. After that nothing is allocated. Which entries go
// is decided by S3-FIFO (J. Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): new ones wait in a
// small queue and are dropped from it unless they were asked for, so that prompts that come but once cannot flush out
// those that come again; and a hit moves nothing, it counts. An LRU list would do neither.
//
// An entry is dropped when it is older than its time to live, or a tag of it was invalidated. A tag is a number made of a
// name; each of 4,096 places has a generation, which an entry remembers, so that invalidating is O(1) however many entries
// there are, and at worst drops one tag in 4,096 too many. Time is an argument; where the clock was set back by more than
// the time to live, an entry counts as too old.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

struct ResponseCacheOptions {
  std::size_t limit_bytes = std::size_t{64} << 20;  // at least 128 KiB, at most 128 GiB
  Time ttl = 300'000'000'000;                       // of entries that are given none: 5 minutes
  std::uint64_t seed = 0x9e3779b97f4a7c15u;         // of the hash
};

// What is asked. `state` is whatever the answer hangs on besides: the market's, as the caller sums it up.
struct CacheKey {
  std::string_view model;
  std::string_view state;
  std::string_view prompt;
};

struct CacheCounters {
  std::uint64_t hits = 0, misses = 0;
  std::uint64_t inserted = 0, replaced = 0, too_big = 0;
  std::uint64_t evicted = 0;      // to make room
  std::uint64_t expired = 0;      // found too old, when asked for or when room was made
  std::uint64_t invalidated = 0;  // found to have a tag that was invalidated
  std::uint64_t false_hits = 0;   // as reported
};

class ResponseCache {
 public:
  static constexpr std::size_t least_bytes = std::size_t{128} << 10, most_bytes = std::size_t{1} << 37;
  static constexpr std::size_t most_tags = 16;

  // May throw std::bad_alloc. Options out of range are moved into it.
  explicit ResponseCache(const ResponseCacheOptions& options = {});

  // The value, copied into `value`, whose memory is used again; false: a miss.
  bool get(const CacheKey& key, Time now, std::string& value) {
    return get(key, now, [&](std::size_t size, std::uint8_t) {
      value.resize(size);
      return value.data();
    });
  }
  // The same for whoever knows where the bytes are to go: `give(size, mark)` has the memory, or nullptr: false.
  template <class Give>
    requires std::is_invocable_r_v<char*, Give, std::size_t, std::uint8_t>
  bool get(const CacheKey& key, Time now, Give&& give) {
    const std::uint32_t found = find(key, now);
    if (found == none) return false;
    char* const to = give(std::size_t{head(found).value_size}, head(found).mark);
    if (to == nullptr) return false;
    read_value(found, to);
    return true;
  }
  // As get, but nothing is copied or counted, nor is the entry's worth.
  bool holds(const CacheKey& key, Time now);

  // Keeps a value, instead of what is there under its key. tags: from `tag`, at most 16; the model's own is added. mark:
  // a byte of the caller's, given back with the value. wrong_length: too many tags; out_of_range: a time to live that is
  // not positive; too_long: it would take more than a quarter of the memory, and is not kept (what was there is dropped).
  Status put(const CacheKey& key, std::string_view value, Time now, Time ttl, std::span<const std::uint64_t> tags = {},
             std::uint8_t mark = 0);
  Status put(const CacheKey& key, std::string_view value, Time now) { return put(key, value, now, options_.ttl); }

  bool erase(const CacheKey& key);
  void clear() noexcept;

  // A tag: what kind of thing it names, and which. Model's entries have {'m', model}.
  std::uint64_t tag(char kind, std::string_view name) const noexcept;
  // Entries that were put with this tag are no longer there.
  void invalidate(std::uint64_t tag) noexcept { ++generations_[place(tag)]; }

  void report_false_hit() noexcept { ++counters_.false_hits; }

  const CacheCounters& counters() const noexcept { return counters_; }
  const ResponseCacheOptions& options() const noexcept { return options_; }
  std::size_t size() const noexcept { return n_entries_; }  // with those that are too old but were not met since
  // What entries take now, in whole blocks, and what is taken at most for everything.
  std::size_t bytes_used() const noexcept { return (n_blocks_ - n_free_) * block_size; }
  std::size_t bytes_reserved() const noexcept;

  // The prompt as it is compared. `buffer` is used where it is not in that form already.
  static std::string_view normalised(std::string_view prompt, std::string& buffer);

 private:
  static constexpr std::size_t block_size = 256;
  static constexpr std::uint32_t none = 0xffffffffu;
  static constexpr std::size_t places = 4096;

  struct Head {
    std::uint64_t hash;
    Time stored, ttl;
    std::uint32_t next;                         // block of the chain
    std::uint32_t newer, older;                 // entries of its queue
    std::uint32_t prompt_size, value_size;
    std::uint32_t model_size, state_size;
    std::uint32_t blocks;
    std::uint8_t asked;                         // how often since it came, or was spared: at most 3
    std::uint8_t queue;
    std::uint8_t tags;
    std::uint8_t mark;
  };
  struct Block {
    alignas(8) std::array<std::byte, block_size> bytes;
  };
  static_assert(sizeof(Block) == block_size && sizeof(Head) == 64);
  static constexpr std::size_t first_room = block_size - sizeof(Head), room = block_size - sizeof(std::uint32_t);

  struct Tag {
    std::uint32_t place, generation;
  };
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t entry = none;
  };
  struct Ghost {
    std::uint32_t hash = 0, turn = 0;
  };
  struct Queue {
    std::uint32_t newest = none, oldest = none;
    std::size_t blocks = 0;
  };
  class Cursor;
  static constexpr std::uint8_t small = 0, main = 1;

  Head& head(std::uint32_t entry) noexcept { return *reinterpret_cast<Head*>(blocks_[entry].bytes.data()); }
  const Head& head(std::uint32_t entry) const noexcept {
    return *reinterpret_cast<const Head*>(blocks_[entry].bytes.data());
  }
  static std::size_t place(std::uint64_t tag) noexcept { return static_cast<std::size_t>(tag) % places; }

  std::uint64_t hash(const CacheKey& normal) const noexcept;
  CacheKey normal(const CacheKey& key);
  // Where the entry is, or the free slot where it would be.
  std::size_t slot_of(const CacheKey& normal, std::uint64_t h) const noexcept;
  bool same(std::uint32_t entry, const CacheKey& normal) const noexcept;
  std::uint32_t find(const CacheKey& key, Time now);  // counts, and drops what is dead
  void read_value(std::uint32_t entry, char* to) const noexcept;
  bool too_old(const Head& entry, Time now) const noexcept;
  bool is_invalid(std::uint32_t entry) const noexcept;
  bool drop_if_dead(std::uint32_t entry, Time now) noexcept;
  void give_up_buffer() noexcept;

  void make_room(std::size_t blocks, Time now) noexcept;
  void push(std::uint8_t queue, std::uint32_t entry) noexcept;
  void unlink(std::uint32_t entry) noexcept;
  void remove(std::uint32_t entry) noexcept;
  void remember(std::uint64_t h) noexcept;
  bool is_remembered(std::uint64_t h) const noexcept;
  std::uint32_t take_block() noexcept;

  ResponseCacheOptions options_;
  std::size_t n_blocks_ = 0, n_free_ = 0, n_entries_ = 0;
  std::uint32_t free_ = none;  // a chain of blocks that were used
  std::uint32_t fresh_ = 0;    // the first block that never was
  std::unique_ptr<Block[]> blocks_;
  std::vector<Slot> slots_;    // at least twice as many as blocks, a power of two
  std::vector<Ghost> ghosts_;  // a power of two
  std::uint32_t turn_ = 1;     // evictions from the small queue
  std::array<Queue, 2> queues_{};  // small, main
  std::array<std::uint32_t, places> generations_{};
  CacheCounters counters_;
  std::string buffer_;  // of normalised prompts
};

}  // namespace fairlead
