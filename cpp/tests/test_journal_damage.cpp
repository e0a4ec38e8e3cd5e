// Segments that are cut short, that have wrong bits, that are foreign: a clear answer, never a wrong event.
#include "journal_desk.hpp"
#include "memory_disk.hpp"

#include <sys/stat.h>

#include <algorithm>

using namespace desk;

namespace {

// A journal of three segments, the last one not sealed, with a mark in it.
void make(const Folder& folder) {
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open(folder.str(), {.segment_bytes = 900}, log, recovery));
  for (Seq seq = 1; seq <= 26; seq += 2) {
    Batch batch = events(seq, seq + 1);
    good(log.append(batch.span(), 0));
    good(log.sync());
  }
}

std::vector<std::string> segments(const Folder& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder.path / "segments")) {
    if (entry.path().extension() == ".seg") found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

struct Found {
  Failure failure;
  Seq events = 0;
  bool right = true;
};
Found read_journal(const Folder& folder) {
  Found found;
  JournalReader reader;
  if ((found.failure = JournalReader::open(folder.str(), {}, reader))) return found;
  Seq next = 1;
  found.failure = read_all(reader, next, found.right);
  found.events = next - 1;
  return found;
}

bool is_clear(const Failure& failure, const std::string& file) {
  return failure.status == Status::ok || failure.what.find(fs::path(file).filename().string()) != std::string::npos;
}

// The same journal in memory, where thousands of changes can be tried.
using Image = std::map<std::string, std::string>;

Image image_of(const Folder& folder) {
  Image image;
  for (const std::string& file : segments(folder)) {
    image["desk/segments/" + fs::path(file).filename().string()] = slurp(file);
  }
  std::string& newest = image.rbegin()->second;
  newest.resize(newest.find_last_not_of('\0') + 100);  // of the space taken in advance, some
  return image;
}

void put(MemoryDisk& disk, const Image& image) {
  for (const auto& [name, bytes] : image) {
    auto& file = disk.files[name] = std::make_shared<MemoryDisk::File>();
    const auto* const from = reinterpret_cast<const std::byte*>(bytes.data());
    file->bytes.assign(from, from + bytes.size());
    file->links = 1;
  }
}

Found read_memory(MemoryDisk& disk) {
  Found found;
  JournalReader reader;
  if ((found.failure = JournalReader::open("desk", {}, reader, disk))) return found;
  Seq next = 1;
  found.failure = read_all(reader, next, found.right);
  found.events = next - 1;
  return found;
}

// Reads, verifies and opens for writing what is there; `changed`: the file that is not as it was. Gives what is wrong.
std::string look(const Image& image, const std::string& changed, bool newest, Seq least) {
  MemoryDisk disk;
  put(disk, image);
  const Found found = read_memory(disk);
  if (!found.right) return "a wrong event";
  if (found.events > 26 || found.events < least) return "read " + std::to_string(found.events);
  if (!is_clear(found.failure, changed)) return "not clear: " + found.failure.what;
  // The end of the newest segment may be one that is being written: a reader waits there.
  if (!newest && !found.failure) return "a reader saw nothing";

  VerifyReport report;
  const Failure verified = verify("desk", report, disk);
  if (!is_clear(verified, changed)) return "not clear: " + verified.what;
  if (!newest && !verified && report.whole) return "verify saw nothing";

  SegmentLog log;
  Recovery recovery;
  const Failure opened = SegmentLog::open("desk", {}, log, recovery, disk);
  if (!is_clear(opened, changed)) return "not clear: " + opened.what;
  if (opened) return "";
  if (log.written() > 26 || log.written() < least) return "opened at " + std::to_string(log.written());
  if (newest && log.written() < found.events) return "the writer has less than a reader";
  if (!newest && log.written() != 26) return "opened at " + std::to_string(log.written());
  Batch batch = events(log.written() + 1, log.written() + 1);
  if (const Failure failure = log.append(batch.span(), 0)) return failure.what;
  const Found again = read_memory(disk);
  if (!again.right) return "a wrong event, later";
  if (newest && (again.failure || again.events != log.written())) return "what was appended is not read";
  return "";
}

}  // namespace

TEST_CASE("damage: every truncation of every segment") {
  const Folder folder;
  make(folder);
  const Image whole = image_of(folder);
  REQUIRE(whole.size() >= 3);
  int wrong = 0, tried = 0;
  Seq least = 0;  // what the segments before hold
  for (const auto& [name, bytes] : whole) {
    const bool newest = name == whole.rbegin()->first;
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      Image image = whole;
      image[name].resize(n);
      const std::string what = look(image, name, newest, least);
      ++tried;
      if (!what.empty() && ++wrong <= 5) FAIL_CHECK(name << " cut to " << n << ": " << what);
    }
    least = std::max<Seq>(least, 6);
  }
  CHECK(wrong == 0);
  CHECK(tried > 2'000);
}

TEST_CASE("damage: every bit of every segment") {
  const Folder folder;
  make(folder);
  const Image whole = image_of(folder);
  int wrong = 0, tried = 0;
  Seq least = 0;
  for (const auto& [name, bytes] : whole) {
    const bool newest = name == whole.rbegin()->first;
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      Image image = whole;
      image[name][bit / 8] = static_cast<char>(image[name][bit / 8] ^ (1 << (bit % 8)));
      const std::string what = look(image, name, newest, least);
      ++tried;
      if (!what.empty() && ++wrong <= 5) FAIL_CHECK(name << " bit " << bit << ": " << what);
    }
    least = std::max<Seq>(least, 6);
  }
  CHECK(wrong == 0);
  CHECK(tried > 16'000);
}

TEST_CASE("damage: what was durable is not cut unasked, and cut and kept where it is asked for") {
  const Folder folder;
  make(folder);
  const std::string file = segments(folder).back();
  std::string bytes = slurp(file);
  const Found before = read_journal(folder);
  // The first event of the newest segment: later marks cover it.
  bytes[64 + 200] = static_cast<char>(bytes[64 + 200] ^ 1);
  spew(file, bytes);
  const std::string was = slurp(file);
  SegmentLog log;
  Recovery recovery;
  Failure failure = SegmentLog::open(folder.str(), {}, log, recovery);
  CHECK(failure.status == Status::journal_damaged);
  CHECK(failure.what.find(fs::path(file).filename().string()) != std::string::npos);
  CHECK(failure.what.find("--accept-loss") != std::string::npos);
  CHECK(repair(folder.str(), false, recovery).status == Status::journal_damaged);
  CHECK(slurp(file) == was);
  VerifyReport report;
  good(verify(folder.str(), report));
  CHECK(!report.whole);
  CHECK(!report.segments.back().torn);

  good(repair(folder.str(), true, recovery));
  CHECK(recovery.cut_bytes > 0);
  CHECK(recovery.cut_from == file);
  CHECK(recovery.given_up_known);
  const std::uint64_t given_up = recovery.given_up;
  const std::string kept = slurp(recovery.kept_in);
  CHECK(kept.size() == recovery.cut_bytes);
  CHECK(was.find(kept) != std::string::npos);
  good(verify(folder.str(), report));
  CHECK(report.whole);
  good(SegmentLog::open(folder.str(), {}, log, recovery));
  CHECK(log.written() < before.events);
  CHECK(given_up == before.events - log.written());
  const Found after = read_journal(folder);
  CHECK(!after.failure);
  CHECK(after.right);
  CHECK(after.events == log.written());
}

TEST_CASE("damage: a torn end is cut when the journal is opened, kept beside it, and said") {
  const Folder folder;
  make(folder);
  const std::string file = segments(folder).back();
  std::string bytes = slurp(file);
  const std::size_t used = (bytes.find_last_not_of('\0') + 8) / 8 * 8;
  bytes.replace(used, 8, "\x01\x02\x03 torn");
  spew(file, bytes);
  VerifyReport report;
  good(verify(folder.str(), report));
  CHECK(!report.whole);
  CHECK(report.segments.back().torn);
  CHECK(report.segments.back().problem_at == used);
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open(folder.str(), {}, log, recovery));
  CHECK(log.written() == 26);
  CHECK(recovery.cut_from == file);
  CHECK(recovery.kept_in == file.substr(0, file.size() - 4) + ".cut-" + std::to_string(used));
  CHECK(slurp(recovery.kept_in) == std::string("\x01\x02\x03 torn"));
  good(verify(folder.str(), report));
  CHECK(report.whole);
}

TEST_CASE("damage: a segment that is missing, foreign, a link, or newer than this version") {
  SegmentLog log;
  Recovery recovery;
  const auto opened = [&](const Folder& folder) { return SegmentLog::open(folder.str(), {}, log, recovery); };
  {
    const Folder folder;
    make(folder);
    fs::remove(segments(folder)[1]);
    CHECK(opened(folder).status == Status::journal_damaged);
    CHECK(read_journal(folder).failure.status == Status::journal_damaged);
    VerifyReport report;
    good(verify(folder.str(), report));
    CHECK(!report.whole);
  }
  {
    const Folder folder;
    make(folder);
    spew((folder.path / "segments" / "notes.txt").string(), "not ours");
    spew((folder.path / "segments" / "1.seg").string(), "not ours either");
    good(opened(folder));
    CHECK(log.written() == 26);
    spew(folder.segment(1000), "our name, but not our bytes; long enough for a header, which has 64 bytes");
    const Failure failure = opened(folder);
    CHECK(failure.status == Status::journal_damaged);
    CHECK(failure.what.find(folder.segment(1000)) != std::string::npos);
  }
  {
    const Folder folder, other;
    make(folder);
    make(other);
    fs::copy(segments(other)[1], segments(folder)[1], fs::copy_options::overwrite_existing);
    CHECK(opened(folder).what.find("another journal") != std::string::npos);
    CHECK(read_journal(folder).failure.what.find("another journal") != std::string::npos);
  }
  {
    const Folder folder;
    make(folder);
    const std::string file = segments(folder)[1], moved = (folder.path / "elsewhere").string();
    fs::rename(file, moved);
    fs::create_symlink(moved, file);
    const Failure failure = opened(folder);
    CHECK(failure.what.find(file + " is a symbolic link") != std::string::npos);
    CHECK(read_journal(folder).failure.what.find("symbolic link") != std::string::npos);
  }
  {
    const Folder folder;
    make(folder);
    const std::string file = segments(folder).back();
    std::string bytes = slurp(file);
    bytes[8] = 2;
    spew(file, bytes);
    const Failure failure = opened(folder);
    CHECK(failure.status == Status::unknown_format);
    CHECK(failure.what.find("format 2") != std::string::npos);
    CHECK(failure.what.find("up to 1") != std::string::npos);
    VerifyReport report;
    CHECK(verify(folder.str(), report).status == Status::unknown_format);
    CHECK(repair(folder.str(), true, recovery).status == Status::unknown_format);
  }
  {
    const Folder folder;
    CHECK(read_journal(folder).failure.status == Status::not_a_journal);
    CHECK(repair(folder.str(), false, recovery).status == Status::not_a_journal);
    spew(folder.str(), "a file");
    CHECK(opened(folder).status == Status::system_refused);
  }
  {
    const Folder folder;
    make(folder);
    const std::string file = folder.segment(1000);
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    CHECK(opened(folder).what.find(file) != std::string::npos);  // and does not wait for somebody to write into it
  }
}
