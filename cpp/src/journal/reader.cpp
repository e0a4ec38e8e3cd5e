#include "fairlead/journal/reader.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fairlead/journal/index.hpp"
#include "older.hpp"

namespace fairlead::journal {

namespace {

// Which numbers of a table a query wants. Names are looked up as they are learned.
struct Wanted {
  bool all = true;
  std::vector<std::string> list;
  std::vector<bool> ids;   // by number: wanted; of the names learned so far
  Bits bits = {};

  void learn(const NameTable& names) {
    if (all) return;
    for (auto id = static_cast<std::int32_t>(ids.size()); id < names.size(); ++id) {
      const bool is = std::find(list.begin(), list.end(), names.name(id)) != list.end();
      ids.push_back(is);
      const auto n = static_cast<std::uint32_t>(id) % 256;
      if (is) bits[n / 64] |= std::uint64_t{1} << (n % 64);
    }
  }
  bool has(std::int32_t id) const noexcept {
    return all || (id >= 0 && static_cast<std::size_t>(id) < ids.size() && ids[static_cast<std::size_t>(id)]);
  }
  bool may_have(const Bits& some) const noexcept {
    std::uint64_t common = all ? 1 : 0;
    for (std::size_t i = 0; i < some.size(); ++i) common |= some[i] & bits[i];
    return common != 0;
  }
};

}  // namespace

struct JournalReader::State {
  State(Disk& disk_, const std::string& folder, const Query& query_)
      : disk(disk_), segments(segments_folder(folder)), query(query_) {
    models.all = query.models.empty();
    models.list = query.models;
    categories.all = query.categories.empty();
    categories.list = query.categories;
    for (const Type type : query.types) types |= Index::bit(type);
    plain = query.start == std::numeric_limits<Time>::min() && query.end == std::numeric_limits<Time>::max() &&
            types == 0 && models.all && categories.all;
  }

  Disk& disk;
  std::string segments;
  Query query;
  std::uint64_t types = 0;
  Wanted models, categories;
  bool plain = false;  // asks for numbers only

  std::vector<Seq> firsts;
  Cursor cursor;
  bool newest = true;       // no segment follows, as far as is known
  SegmentHeader follower;   // else: the one that does
  Failure follower_failed;  // or what is wrong with it: told when all before it was read
  Index index;              // of the segment that is read; no blocks: none
  std::size_t block = 0;    // the one that comes next
  Seq passed = 0;           // events up to this one were given, or passed over
  int bad_polls = 0, patience = 3;  // calls that found a bad record at the end; after so many it is read anew
  Seq doubted = 0;          // what should come next is not there, but later bytes prove that it was durable
  int doubts = 0;           // how often that was seen; with the third it is damage
  bool looked = false;      // at all that follows the end
  bool reread = false;      // the end did not fit the next segment: all was read anew
  NameTable names[n_tables];
  std::array<std::uint8_t, 16> id = {};
  Failure failed;

  std::span<const std::byte> left;  // of the run that `next` walks

  std::string path_of(Seq first, std::string_view ending) const { return segments + "/" + file_name(first, ending); }

  Failure start();
  Failure enter(Seq first);
  void look_for_follower(Seq first);
  Failure step(std::span<const std::byte>& run);
  Failure run(std::span<const std::byte>& out);
  Failure again();
  Failure look_for_proof(bool& proven);
  bool skip();
  bool block_matters(const IndexBlock& at) const noexcept;
  bool matches(const RecordHeader& header) const noexcept;
  Failure note(std::span<const std::byte> run, std::uint64_t at);
};

// Begins with the segment that holds event query.first, or would.
Failure JournalReader::State::start() {
  if (Failure failure = list_segments(disk, segments, firsts)) return failure;
  if (firsts.empty()) return {Status::not_a_journal, 0, "there is no journal: " + segments + " holds no segment"};
  auto at = std::upper_bound(firsts.begin(), firsts.end(), std::max<Seq>(query.first, firsts.front()));
  --at;
  passed = *at - 1;
  if (Failure failure = enter(*at)) return failure;
  id = cursor.header().journal;
  return {};
}

Failure JournalReader::State::enter(Seq first) {
  index.clear();
  block = 0;
  bad_polls = doubts = 0;
  doubted = 0;
  looked = reread = false;
  const bool by_index = !plain || query.first > first;
  // The newest is not mapped, though it is sealed: a repair may cut it.
  const bool followed = std::upper_bound(firsts.begin(), firsts.end(), first) != firsts.end();
  if (Failure failure = cursor.open(disk, path_of(first, ".seg"), first, !by_index && followed)) return failure;
  look_for_follower(first);
  if (!by_index || !index.load(disk, path_of(first, ".idx"))) return {};
  RecordHeader record;
  SealPayload seal;
  const IndexHeader& header = index.header;
  const bool fits = header.journal == cursor.header().journal && header.first == first &&
                    header.bytes == cursor.size() && read_seal(disk, cursor.file(), cursor.size(), record, seal) &&
                    record.crc == header.last_crc && record.seq == header.next;
  if (!fits || (!newest && follower.first != header.next)) index.clear();
  return {};
}

void JournalReader::State::look_for_follower(Seq first) {
  if (!newest) return;
  const auto after = std::upper_bound(firsts.begin(), firsts.end(), first);
  if (after == firsts.end()) return;
  Cursor next;
  newest = false;
  follower_failed = next.open(disk, path_of(*after, ".seg"), *after, false);
  if (!follower_failed && next.header().journal != cursor.header().journal) {
    follower_failed = damaged(next.path(), 16, "it belongs to another journal");
  }
  if (follower_failed) return;
  follower = next.header();
  end_at(cursor, follower);
}

bool JournalReader::State::block_matters(const IndexBlock& at) const noexcept {
  if ((at.types & (Index::bit(Type::name) | Index::bit(Type::names))) != 0) return true;
  if (!query.overlaps(at.earliest, at.latest)) return false;
  if (types != 0 && (at.types & types) == 0) return false;
  return models.may_have(at.models) && categories.may_have(at.categories);
}

// Passes over blocks that cannot matter. true: the cursor has moved.
bool JournalReader::State::skip() {
  if (index.blocks.empty()) return false;
  while (block < index.blocks.size() && index.blocks[block].offset < cursor.offset()) ++block;
  if (block >= index.blocks.size() || index.blocks[block].offset != cursor.offset()) return false;
  const std::size_t from = block;
  const auto next_of = [&](std::size_t b) {
    return b + 1 < index.blocks.size() ? index.blocks[b + 1].first : index.header.next;
  };
  while (block < index.blocks.size()) {
    const IndexBlock& at = index.blocks[block];
    const bool names_in_it = (at.types & (Index::bit(Type::name) | Index::bit(Type::names))) != 0;
    const bool before = next_of(block) <= query.first && !names_in_it;
    if (!before && block_matters(at)) break;
    ++block;
  }
  if (block == from) return false;
  if (block == index.blocks.size()) {
    cursor.seek(index.header.bytes, index.header.next, index.header.last_crc);
  } else {
    cursor.seek(index.blocks[block].offset, index.blocks[block].first, index.blocks[block].prev);
  }
  passed = std::max(passed, cursor.walk().next - 1);
  return true;
}

Failure JournalReader::State::note(std::span<const std::byte> run, std::uint64_t at) {
  if (cursor.walk().names) {
    cursor.walk().names = false;
    if (!learn_names(run, names)) return damaged(cursor.path(), at, "names that contradict those before");
    models.learn(names[static_cast<std::size_t>(Table::models)]);
    categories.learn(names[static_cast<std::size_t>(Table::categories)]);
  }
  return {};
}

// The tail was written anew under our feet, by a writer whose disk had refused a part: from the start of the segment.
Failure JournalReader::State::again() {
  const Seq first = cursor.header().first;
  Cursor fresh;
  Failure failure = fresh.open(disk, path_of(first, ".seg"), first, false);
  if (failure) return failure;
  if (fresh.header().journal != cursor.header().journal) return damaged(fresh.path(), 16, "it belongs to another journal");
  cursor = std::move(fresh);
  if (!newest) end_at(cursor, follower);
  index.clear();
  return {};
}

// Whether what should come next was durable once: by a later mark or seal, or by the index of a segment that was sealed.
Failure JournalReader::State::look_for_proof(bool& proven) {
  const Walk& walk = cursor.walk();
  proven = false;
  if (walk.stop == Stop::bad || !looked) {  // all of the tail: not each time that a reader waits at its zeros
    looked = true;
    Tail tail;
    if (Failure failure = look_at_tail(disk, cursor, tail)) return failure;
    proven = tail.covered;
  } else {
    const std::int64_t size = disk.size(cursor.file());
    RecordHeader record;
    SealPayload seal;
    proven = size > 0 && cursor.offset() + seal_bytes <= static_cast<std::uint64_t>(size) &&
             read_seal(disk, cursor.file(), static_cast<std::uint64_t>(size), record, seal) && record.seq >= walk.next;
  }
  if (!proven) {
    Index sealed;
    proven = sealed.load(disk, path_of(cursor.header().first, ".idx")) && sealed.header.journal == cursor.header().journal &&
             sealed.header.first == cursor.header().first && sealed.header.bytes > cursor.offset();
  }
  return {};
}

// Whole records, checked, as they lie in the segments; empty at the end of what is written.
Failure JournalReader::State::step(std::span<const std::byte>& run) {
  for (;;) {
    run = {};
    if (skip()) continue;
    if (!index.blocks.empty()) {
      cursor.stop_at(block + 1 < index.blocks.size() ? index.blocks[block + 1].offset : index.header.bytes);
    }
    const std::uint64_t at = cursor.offset();
    if (Failure failure = cursor.step(run)) return failure;
    if (!run.empty()) return note(run, at);
    const Walk& walk = cursor.walk();
    if (newest) {
      if (Failure failure = list_segments(disk, segments, firsts)) return failure;
      const Seq first = cursor.header().first;
      look_for_follower(first);
      if (!newest) continue;  // all of this one was there before the next one was: read what came meanwhile
      if (disk.links(cursor.file()) == 0) {
        if (Failure failure = again()) return failure;
        continue;
      }
      if (walk.stop != Stop::sealed && (walk.stop != Stop::bad || bad_polls == 0)) {
        bool proven = false;
        if (Failure failure = look_for_proof(proven)) return failure;
        if (proven) {  // it may have been written since it was read: once more from here, then all, then it is damage
          if (doubted != walk.next) doubts = 0;
          doubted = walk.next;
          if (doubts == 2) return damaged(cursor.path(), cursor.offset(), cursor.complaint());
          if (++doubts == 2) {
            if (Failure failure = again()) return failure;
          }
          continue;
        }
      }
      if (walk.stop == Stop::bad && ++bad_polls == patience) {
        bad_polls = 0;
        patience = std::min(2 * patience, 4096);
        if (Failure failure = again()) return failure;
        continue;  // to where we were, if it is there; else we wait where it ends
      }
      return {};
    }
    if (follower_failed) return follower_failed;
    if (walk.next <= walk.limit) {
      if (Failure failure = check_end(cursor)) {
        // We may have passed a mark or a seal that was never durable, and that the next segment does without.
        if (disk.links(cursor.file()) != 0 && std::exchange(reread, true)) return failure;
        if (Failure gone = again()) return gone;
        continue;
      }
    }
    newest = true;
    const Seq next = follower.first;
    if (Failure failure = enter(next)) return failure;
  }
}

bool JournalReader::State::matches(const RecordHeader& header) const noexcept {
  if (header.seq < query.first || !query.overlaps(header.time, header.time)) return false;
  if (types != 0) {
    const Type type = std::min(header.type, Type::custom);  // which stands for all of a program's own
    if ((types & Index::bit(type)) == 0) return false;
    if (std::find(query.types.begin(), query.types.end(), type) == query.types.end()) return false;
  }
  return models.has(header.model) && categories.has(header.category);
}

Failure JournalReader::State::run(std::span<const std::byte>& out) {
  out = {};
  if (failed) return failed;
  while (passed < query.last) {
    std::span<const std::byte> found;
    if ((failed = step(found))) return failed;
    if (found.empty()) return {};
    // After a tail was written anew some come a second time.
    std::size_t from = 0;
    while (from < found.size()) {
      const auto* const header = reinterpret_cast<const RecordHeader*>(found.data() + from);
      if (header->seq > passed) break;
      from += padded(header->length);
    }
    passed = std::max(passed, cursor.walk().next - 1);
    if (from == found.size()) continue;
    bad_polls = 0;
    patience = 3;
    out = found.subspan(from);
    return {};
  }
  return {};
}

JournalReader::JournalReader() = default;
JournalReader::~JournalReader() = default;
JournalReader::JournalReader(JournalReader&&) noexcept = default;
JournalReader& JournalReader::operator=(JournalReader&&) noexcept = default;

Failure JournalReader::open(const std::string& folder, const Query& query, JournalReader& out, Disk& disk) {
  auto state = std::make_unique<State>(disk, folder, query);
  if (Failure failure = state->start()) return failure;
  out.state_ = std::move(state);
  return {};
}

Failure JournalReader::run(std::span<const std::byte>& out) {
  out = {};
  return state_ ? state_->run(out) : Failure{Status::not_a_journal, 0, "the reader is not open"};
}

Failure JournalReader::next(Event& out) {
  out.header = nullptr;
  if (!state_) return {Status::not_a_journal, 0, "the reader is not open"};
  State& state = *state_;
  for (;;) {
    while (!state.left.empty()) {
      const auto* const header = reinterpret_cast<const RecordHeader*>(state.left.data());
      if ((header->flags & flag_own) == 0 && header->seq > state.query.last) return {};
      state.left = state.left.subspan(padded(header->length));
      if ((header->flags & flag_own) != 0 || !state.matches(*header)) continue;
      out.header = header;
      return {};
    }
    if (Failure failure = state.run(state.left)) return failure;
    if (state.left.empty()) return {};
  }
}

const NameTable& JournalReader::names(Table table) const noexcept { return state_->names[static_cast<std::size_t>(table)]; }
Seq JournalReader::position() const noexcept {
  if (!state_) return 0;
  if (state_->left.empty()) return state_->passed;
  return reinterpret_cast<const RecordHeader*>(state_->left.data())->seq - 1;
}
const std::array<std::uint8_t, 16>& JournalReader::id() const noexcept { return state_->id; }

}  // namespace fairlead::journal
