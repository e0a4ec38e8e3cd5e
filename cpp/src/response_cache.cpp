#include "fairlead/response_cache.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <new>

namespace fairlead {

namespace {

constexpr std::uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
constexpr std::size_t kept_buffer = std::size_t{16} << 10;

std::uint64_t word(const char* at) noexcept {
  std::uint64_t w;
  std::memcpy(&w, at, sizeof(w));
  return w;
}

// The two halves of the product, as in wyhash (Wang Yi).
std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
#if defined(__SIZEOF_INT128__)
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
#else
  const std::uint64_t al = a & 0xffffffffu, ah = a >> 32, bl = b & 0xffffffffu, bh = b >> 32;
  const std::uint64_t low = al * bl, one = ah * bl + (low >> 32), two = al * bh + (one & 0xffffffffu);
  return (two << 32 | (low & 0xffffffffu)) ^ (ah * bh + (one >> 32) + (two >> 32));
#endif
}

std::uint64_t hashed(std::string_view text, std::uint64_t key) noexcept {
  constexpr std::uint64_t a = 0xa0761d6478bd642fu, b = 0xe7037ed1a0b428dbu;
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t h = key, g = key ^ b;
  for (; left > 32; left -= 32, at += 32) {
    h = mix(word(at) ^ key, word(at + 8) ^ h);
    g = mix(word(at + 16) ^ key, word(at + 24) ^ g);
  }
  h ^= g;
  for (; left > 16; left -= 16, at += 16) h = mix(word(at) ^ key, word(at + 8) ^ h);
  std::uint64_t first = 0, second = 0;
  if (left >= 8) {
    first = word(at);
    second = word(at + left - 8);
  } else {
    for (std::size_t i = 0; i < left; ++i)
      first |= static_cast<std::uint64_t>(static_cast<unsigned char>(at[i])) << (8 * i);
  }
  return mix(mix(first ^ key ^ a, second ^ h), text.size() ^ b);
}

// White space of ASCII.
bool is_space(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return (static_cast<unsigned>(byte == ' ') | static_cast<unsigned>(static_cast<unsigned char>(byte - 9) <= 4)) != 0;
}

// Whether the text is ASCII without control characters, and has single spaces only, none at its ends. Written so that
// compilers do it 16 bytes at a time.
bool is_plain(std::string_view text) noexcept {
  if (text.empty()) return true;
  if (text.front() == ' ' || text.back() == ' ') return false;
  const auto* const at = reinterpret_cast<const unsigned char*>(text.data());
  const auto wrong = [](unsigned char c) { return static_cast<unsigned char>(c - 0x20) > 0x5f; };
  unsigned char any = wrong(at[text.size() - 1]);
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const unsigned char here = at[i], both = here | at[i + 1];  // two spaces, or a NUL, which is wrong anyway
    any = static_cast<unsigned char>(any | wrong(here) | (both == 0x20));
  }
  return any == 0;
}

// How many bytes the white space at the beginning has that is not ASCII (the Unicode property White_Space); 0: none.
std::size_t wide_space(const char* at, std::size_t left) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(at[i]); };
  const unsigned first = byte(0);
  if (first < 0xc2 || first > 0xe3) return 0;
  if (first == 0xc2) return left >= 2 && (byte(1) == 0x85 || byte(1) == 0xa0) ? 2 : 0;
  if (left < 3) return 0;
  const unsigned rest = static_cast<unsigned>(byte(1)) << 8 | byte(2);
  if (first == 0xe1) return rest == 0x9a80 ? 3 : 0;
  if (first == 0xe3) return rest == 0x8080 ? 3 : 0;
  const bool general = (rest >= 0x8080 && rest <= 0x808a) || rest == 0x80a8 || rest == 0x80a9 || rest == 0x80af || rest == 0x819f;
  return first == 0xe2 && general ? 3 : 0;
}

}  // namespace

// Goes along the chain of an entry's bytes: tags, model, state, prompt, value.
class ResponseCache::Cursor {
 public:
  Cursor(const ResponseCache& cache, std::uint32_t entry) noexcept : blocks_(cache.blocks_.get()) {
    at_ = blocks_[entry].bytes.data() + sizeof(Head);
    end_ = blocks_[entry].bytes.data() + block_size;
    next_ = cache.head(entry).next;
  }

  void skip(std::size_t n) noexcept {
    along(n, [](std::byte*, std::size_t) { return true; });
  }
  void read(void* to, std::size_t n) noexcept {
    auto* out = static_cast<std::byte*>(to);
    along(n, [&](const std::byte* from, std::size_t some) {
      std::memcpy(out, from, some);
      out += some;
      return true;
    });
  }
  void write(const void* from, std::size_t n) noexcept {
    const auto* in = static_cast<const std::byte*>(from);
    along(n, [&](std::byte* to, std::size_t some) {
      std::memcpy(to, in, some);
      in += some;
      return true;
    });
  }
  bool equals(std::string_view text) noexcept {
    const char* with = text.data();
    return along(text.size(), [&](const std::byte* from, std::size_t some) {
      if (std::memcmp(from, with, some) != 0) return false;
      with += some;
      return true;
    });
  }

 private:
  template <class Piece>
  bool along(std::size_t n, Piece&& piece) noexcept {
    while (n > 0) {
      if (at_ == end_) {
        std::byte* const block = blocks_[next_].bytes.data();
        std::memcpy(&next_, block, sizeof(next_));
        at_ = block + sizeof(next_);
        end_ = block + block_size;
      }
      const std::size_t some = std::min(n, static_cast<std::size_t>(end_ - at_));
      if (!piece(at_, some)) return false;
      at_ += some;
      n -= some;
    }
    return true;
  }

  Block* blocks_;
  std::byte* at_;
  std::byte* end_;
  std::uint32_t next_;
};

ResponseCache::ResponseCache(const ResponseCacheOptions& options) : options_(options) {
  options_.limit_bytes = std::clamp(options_.limit_bytes, least_bytes, most_bytes);
  options_.ttl = std::max<Time>(options_.ttl, 1);
  const std::size_t for_all = options_.limit_bytes - sizeof(ResponseCache) - kept_buffer;
  const auto taken = [](std::size_t n) {
    return n * block_size + std::bit_ceil(2 * n) * sizeof(Slot) + std::bit_floor(n) * sizeof(Ghost);
  };
  n_blocks_ = for_all / block_size;
  while (taken(n_blocks_) > for_all) n_blocks_ -= (taken(n_blocks_) - for_all) / (2 * block_size) + 1;
  blocks_.reset(new Block[n_blocks_]);  // not written to, so that pages are taken when they are needed
  slots_.resize(std::bit_ceil(2 * n_blocks_));
  ghosts_.resize(std::bit_floor(n_blocks_));
  n_free_ = n_blocks_;
}

std::size_t ResponseCache::bytes_reserved() const noexcept {
  return sizeof(ResponseCache) + kept_buffer + n_blocks_ * block_size + slots_.size() * sizeof(Slot) +
         ghosts_.size() * sizeof(Ghost);
}

std::string_view ResponseCache::normalised(std::string_view prompt, std::string& buffer) {
  while (!prompt.empty() && is_space(prompt.front())) prompt.remove_prefix(1);
  while (!prompt.empty() && is_space(prompt.back())) prompt.remove_suffix(1);
  if (is_plain(prompt)) return prompt;
  buffer.resize(prompt.size());
  char* const to = buffer.data();
  std::size_t n = 0;
  unsigned gap = 1;  // the last that was written is a space, or nothing was
  for (std::size_t i = 0; i < prompt.size();) {
    if (prompt.size() - i >= 8) {
      const std::uint64_t w = word(prompt.data() + i);
      const std::uint64_t spaces = ~((w ^ (ones * 0x20)) + ones * 0x7f) & highs;  // exact where no high bit is set
      const std::uint64_t wrong =
          (w & highs) | ((w - ones * 0x20) & ~w & highs) | (spaces & (spaces << 8 | std::uint64_t{gap} << 7));
      if (wrong == 0) {  // ASCII, no control character, no space after a space
        std::memcpy(to + n, &w, sizeof(w));
        n += 8;
        i += 8;
        gap = static_cast<unsigned>(spaces >> 63);
        continue;
      }
    }
    const auto c = static_cast<unsigned char>(prompt[i]);
    if (c < 0x80) {  // without a branch on what it is
      const unsigned space = is_space(prompt[i]);
      to[n] = static_cast<char>(space != 0 ? ' ' : c);
      n += 1 - (space & gap);
      gap = space;
      ++i;
    } else if (const std::size_t wide = wide_space(prompt.data() + i, prompt.size() - i); wide > 0) {
      to[n] = ' ';
      n += 1 - gap;
      gap = 1;
      i += wide;
    } else {
      to[n++] = prompt[i++];
      gap = 0;
    }
  }
  if (gap != 0 && n > 0) --n;
  return {to, n};
}

CacheKey ResponseCache::normal(const CacheKey& key) { return {key.model, key.state, normalised(key.prompt, buffer_)}; }

void ResponseCache::give_up_buffer() noexcept {
  if (buffer_.capacity() > kept_buffer) std::string().swap(buffer_);
}

std::uint64_t ResponseCache::hash(const CacheKey& k) const noexcept {
  return hashed(k.prompt, hashed(k.state, hashed(k.model, options_.seed)));
}

std::uint64_t ResponseCache::tag(char kind, std::string_view name) const noexcept {
  return hashed(name, mix(options_.seed ^ static_cast<unsigned char>(kind), 0x8ebc6af09c88c6e3u));
}

bool ResponseCache::same(std::uint32_t entry, const CacheKey& k) const noexcept {
  const Head& it = head(entry);
  if (it.prompt_size != k.prompt.size() || it.model_size != k.model.size() || it.state_size != k.state.size())
    return false;
  Cursor cursor(*this, entry);
  cursor.skip(it.tags * sizeof(Tag));
  return cursor.equals(k.model) && cursor.equals(k.state) && cursor.equals(k.prompt);
}

std::size_t ResponseCache::slot_of(const CacheKey& k, std::uint64_t h) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  const auto wanted = static_cast<std::uint32_t>(h);
  for (std::size_t at = wanted & mask;; at = (at + 1) & mask) {
    const Slot slot = slots_[at];
    if (slot.entry == none) return at;
    if (slot.hash == wanted && head(slot.entry).hash == h && same(slot.entry, k)) return at;
  }
}

bool ResponseCache::too_old(const Head& entry, Time now) const noexcept {
  const Time from = std::min(entry.stored, now), to = std::max(entry.stored, now);
  return from < 0 && to > std::numeric_limits<Time>::max() + from ? true : to - from >= entry.ttl;
}

bool ResponseCache::is_invalid(std::uint32_t entry) const noexcept {
  Cursor cursor(*this, entry);
  Tag of{};
  bool wrong = false;
  for (std::uint8_t i = 0; i < head(entry).tags; ++i) {
    cursor.read(&of, sizeof(of));
    wrong |= generations_[of.place] != of.generation;
  }
  return wrong;
}

bool ResponseCache::drop_if_dead(std::uint32_t entry, Time now) noexcept {
  if (too_old(head(entry), now)) {
    ++counters_.expired;
  } else if (is_invalid(entry)) {
    ++counters_.invalidated;
  } else {
    return false;
  }
  remove(entry);
  return true;
}

std::uint32_t ResponseCache::find(const CacheKey& key, Time now) {
  const CacheKey k = normal(key);
  const std::uint32_t entry = slots_[slot_of(k, hash(k))].entry;
  give_up_buffer();
  if (entry == none || drop_if_dead(entry, now)) {
    ++counters_.misses;
    return none;
  }
  ++counters_.hits;
  Head& it = head(entry);
  if (it.asked < 3) ++it.asked;
  return entry;
}

bool ResponseCache::holds(const CacheKey& key, Time now) {
  const CacheKey k = normal(key);
  const std::uint32_t entry = slots_[slot_of(k, hash(k))].entry;
  give_up_buffer();
  return entry != none && !too_old(head(entry), now) && !is_invalid(entry);
}

void ResponseCache::read_value(std::uint32_t entry, char* to) const noexcept {
  const Head& it = head(entry);
  Cursor cursor(*this, entry);
  cursor.skip(it.tags * sizeof(Tag) + std::size_t{it.model_size} + it.state_size + it.prompt_size);
  cursor.read(to, it.value_size);
}

Status ResponseCache::put(const CacheKey& key, std::string_view value, Time now, Time ttl,
                          std::span<const std::uint64_t> tags, std::uint8_t mark) {
  if (ttl <= 0) return Status::out_of_range;
  if (tags.size() > most_tags) return Status::wrong_length;
  const CacheKey k = normal(key);
  const std::uint64_t h = hash(k);
  std::uint8_t queue = is_remembered(h) ? main : small, asked = 0;
  if (const std::uint32_t old = slots_[slot_of(k, h)].entry; old != none) {
    queue = head(old).queue;
    asked = head(old).asked;
    remove(old);
    ++counters_.replaced;
  }
  const std::size_t size =
      (tags.size() + 1) * sizeof(Tag) + k.model.size() + k.state.size() + k.prompt.size() + value.size();
  const std::size_t blocks = size <= first_room ? 1 : 1 + (size - first_room + room - 1) / room;
  if (blocks > n_blocks_ / 4 || size > std::numeric_limits<std::uint32_t>::max()) {
    ++counters_.too_big;
    give_up_buffer();
    return Status::too_long;
  }
  make_room(blocks, now);

  const std::uint32_t entry = take_block();
  std::uint32_t next = none;
  for (std::size_t i = 1; i < blocks; ++i) {
    const std::uint32_t block = take_block();
    std::memcpy(blocks_[block].bytes.data(), &next, sizeof(next));
    next = block;
  }
  new (blocks_[entry].bytes.data()) Head{
      .hash = h, .stored = now, .ttl = ttl, .next = next, .newer = none, .older = none,
      .prompt_size = static_cast<std::uint32_t>(k.prompt.size()), .value_size = static_cast<std::uint32_t>(value.size()),
      .model_size = static_cast<std::uint32_t>(k.model.size()), .state_size = static_cast<std::uint32_t>(k.state.size()),
      .blocks = static_cast<std::uint32_t>(blocks), .asked = asked, .queue = queue,
      .tags = static_cast<std::uint8_t>(tags.size() + 1), .mark = mark};
  Cursor cursor(*this, entry);
  const auto write_tag = [&](std::uint64_t of) {
    const Tag it{static_cast<std::uint32_t>(place(of)), generations_[place(of)]};
    cursor.write(&it, sizeof(it));
  };
  write_tag(tag('m', k.model));
  for (const std::uint64_t of : tags) write_tag(of);
  cursor.write(k.model.data(), k.model.size());
  cursor.write(k.state.data(), k.state.size());
  cursor.write(k.prompt.data(), k.prompt.size());
  cursor.write(value.data(), value.size());
  slots_[slot_of(k, h)] = {static_cast<std::uint32_t>(h), entry};
  push(queue, entry);
  ++n_entries_;
  ++counters_.inserted;
  give_up_buffer();
  return Status::ok;
}

bool ResponseCache::erase(const CacheKey& key) {
  const CacheKey k = normal(key);
  const std::uint32_t entry = slots_[slot_of(k, hash(k))].entry;
  give_up_buffer();
  if (entry != none) remove(entry);
  return entry != none;
}

void ResponseCache::clear() noexcept {
  counters_.invalidated += n_entries_;
  std::fill(slots_.begin(), slots_.end(), Slot{});
  std::fill(ghosts_.begin(), ghosts_.end(), Ghost{});
  queues_ = {};
  n_entries_ = 0;
  n_free_ = n_blocks_;
  free_ = none;
  fresh_ = 0;
}

// --- S3-FIFO ---------------------------------------------------------------------------------------------------------

void ResponseCache::make_room(std::size_t blocks, Time now) noexcept {
  while (n_free_ < blocks) {
    const bool from_small = queues_[small].blocks * 10 >= n_blocks_ || queues_[main].oldest == none;
    const std::uint32_t entry = queues_[from_small ? small : main].oldest;
    if (drop_if_dead(entry, now)) continue;
    Head& it = head(entry);
    if (it.asked > 0) {  // spared: from the small queue for good, in the main one for another round
      it.asked = static_cast<std::uint8_t>(from_small ? 0 : it.asked - 1);
      unlink(entry);
      push(main, entry);
      continue;
    }
    if (from_small) remember(it.hash);
    ++counters_.evicted;
    remove(entry);
  }
}

void ResponseCache::push(std::uint8_t queue, std::uint32_t entry) noexcept {
  Queue& to = queues_[queue];
  Head& it = head(entry);
  it.queue = queue;
  it.newer = none;
  it.older = to.newest;
  (to.newest == none ? to.oldest : head(to.newest).newer) = entry;
  to.newest = entry;
  to.blocks += it.blocks;
}

void ResponseCache::unlink(std::uint32_t entry) noexcept {
  const Head& it = head(entry);
  Queue& from = queues_[it.queue];
  (it.newer == none ? from.newest : head(it.newer).older) = it.older;
  (it.older == none ? from.oldest : head(it.older).newer) = it.newer;
  from.blocks -= it.blocks;
}

void ResponseCache::remove(std::uint32_t entry) noexcept {
  const Head it = head(entry);
  unlink(entry);
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = static_cast<std::uint32_t>(it.hash) & mask;
  while (slots_[hole].entry != entry) hole = (hole + 1) & mask;
  for (std::size_t at = (hole + 1) & mask; slots_[at].entry != none; at = (at + 1) & mask) {
    const std::size_t home = slots_[at].hash & mask;
    if (((at - home) & mask) < ((at - hole) & mask)) continue;  // it may not stand before its home
    slots_[hole] = slots_[at];
    hole = at;
  }
  slots_[hole] = {};
  // The chain goes back as it is.
  std::uint32_t last = entry;
  std::memcpy(blocks_[entry].bytes.data(), &it.next, sizeof(it.next));
  for (std::uint32_t next = it.next; next != none; std::memcpy(&next, blocks_[next].bytes.data(), sizeof(next))) last = next;
  std::memcpy(blocks_[last].bytes.data(), &free_, sizeof(free_));
  free_ = entry;
  n_free_ += it.blocks;
  --n_entries_;
}

std::uint32_t ResponseCache::take_block() noexcept {
  --n_free_;
  if (free_ == none) return fresh_++;
  const std::uint32_t block = free_;
  std::memcpy(&free_, blocks_[block].bytes.data(), sizeof(free_));
  return block;
}

void ResponseCache::remember(std::uint64_t h) noexcept {
  ghosts_[static_cast<std::size_t>(h >> 32) & (ghosts_.size() - 1)] = {static_cast<std::uint32_t>(h), turn_};
  if (++turn_ == 0) turn_ = 1;
}

bool ResponseCache::is_remembered(std::uint64_t h) const noexcept {
  const Ghost ghost = ghosts_[static_cast<std::size_t>(h >> 32) & (ghosts_.size() - 1)];
  return ghost.turn != 0 && ghost.hash == static_cast<std::uint32_t>(h) && turn_ - ghost.turn <= ghosts_.size();
}

}  // namespace fairlead
