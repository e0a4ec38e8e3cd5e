// Small segments of every kind, made by the writer itself: what fuzzing starts from.
#pragma once

#include <string>
#include <string_view>

#include "segment_input.hpp"

namespace desk {

inline std::vector<std::vector<std::uint8_t>> seeds() {
  std::vector<std::vector<std::uint8_t>> found;
  for (const int kind : {0, 1, 2, 3}) {
    MemoryDisk disk;
    SegmentLog log;
    Recovery recovery;
    must(!SegmentLog::open("desk", {.segment_bytes = kind == 3 ? std::uint64_t{400} : std::uint64_t{4096}}, log, recovery, disk));
    for (Seq seq = 1; seq <= 6 && kind > 0; ++seq) {
      const std::string_view name("\0\0\0\0\0\1\0\0\0m", 10);
      const std::string_view gap("\3\0\0\0\0\0\0\0", 8);
      const bool named = seq == 1, gapped = seq == 5;
      const std::string_view payload = named ? name : gapped ? gap : std::string_view("{\"a\": 1}").substr(0, 9 - seq);
      RecordHeader header;
      header.length = static_cast<std::uint32_t>(sizeof header + payload.size());
      header.type = named ? Type::name : gapped ? Type::gap : seq % 2 != 0 ? Type::note : Type::forecast;
      header.seq = log.written() + 1;
      header.time = static_cast<fairlead::Time>(seq);
      header.model = named ? -1 : 0;
      Bytes record(padded(header.length));
      std::memcpy(record.data(), &header, sizeof header);
      std::memcpy(record.data() + sizeof header, payload.data(), payload.size());
      must(!log.append(record, 0));
      if (seq % 2 == 0) must(!log.sync());
    }
    if (kind >= 2) must(!log.close());
    for (const auto& [path, file] : disk.files) {
      if (!path.ends_with("0001.seg")) continue;
      std::size_t used = file->bytes.size();
      while (used > 0 && file->bytes[used - 1] == std::byte{0}) --used;
      used = std::min(file->bytes.size(), (used + 15) / 8 * 8);
      for (const std::uint8_t what : {0, 5, 3, 7}) {
        std::vector<std::uint8_t> seed{what, 8};
        const auto* const from = reinterpret_cast<const std::uint8_t*>(file->bytes.data());
        seed.insert(seed.end(), from, from + used);
        found.push_back(seed);
      }
    }
  }
  return found;
}

}  // namespace desk
