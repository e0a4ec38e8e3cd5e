// A journal in memory, for tests of the fleet: it keeps what it is given, and refuses what it is told to refuse.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "fairlead/fleet.hpp"

class Log final : public fairlead::EventSink {
 public:
  fairlead::Status name(fairlead::journal::Table table, std::string_view name, std::int32_t& out) noexcept override {
    fairlead::NameTable& names = names_[static_cast<std::size_t>(table)];
    if (out = names.find(name); out >= 0) return fairlead::Status::ok;
    if (refuse-- == 0) return why;
    out = names.intern(name);
    fairlead::journal::encode_name(buffer_, table, out, name);
    keep(buffer_.header(), buffer_.payload());
    return fairlead::Status::ok;
  }
  fairlead::Status append(const fairlead::journal::RecordHeader& header, std::span<const std::byte> payload,
                          fairlead::journal::Seq& out) noexcept override {
    if (refuse-- == 0) return why;
    out = keep(header, payload);
    return fairlead::Status::ok;
  }

  std::size_t size() const { return events_.size(); }
  fairlead::journal::Event operator[](std::size_t i) const {
    return {reinterpret_cast<const fairlead::journal::RecordHeader*>(events_[i].data())};
  }
  fairlead::Fleet folded(std::size_t n = ~std::size_t{0}) const {
    fairlead::Fleet fleet;
    for (std::size_t i = 0; i < std::min(n, size()); ++i) REQUIRE(fleet.apply((*this)[i]) == fairlead::Status::ok);
    return fleet;
  }

  long refuse = -1;  // the call after so many more
  fairlead::Status why = fairlead::Status::journal_full;

 private:
  fairlead::journal::Seq keep(fairlead::journal::RecordHeader header, std::span<const std::byte> payload) {
    header.seq = events_.size() + 1;
    std::vector<std::uint64_t> words(fairlead::journal::padded(header.length) / 8);
    std::memcpy(words.data(), &header, sizeof(header));
    if (!payload.empty()) std::memcpy(reinterpret_cast<std::byte*>(words.data()) + sizeof(header), payload.data(), payload.size());
    events_.push_back(std::move(words));
    return header.seq;
  }

  fairlead::NameTable names_[fairlead::journal::n_tables];
  fairlead::journal::EventBuffer buffer_;
  std::vector<std::vector<std::uint64_t>> events_;
};
