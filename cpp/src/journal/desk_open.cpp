#include <new>
#include <utility>

#include "fairlead/desk.hpp"

namespace fairlead {

using journal::Failure;
using journal::Seq;

Status JournalSink::name(journal::Table table, std::string_view name, std::int32_t& out) noexcept {
  try {
    return journal_.name(table, name, out);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

Status JournalSink::append(const journal::RecordHeader& header, std::span<const std::byte> payload, Seq& out) noexcept {
  return journal_.append(header.type, header.time, header.model, header.category, payload, out, header.version);
}

Failure Desk::open(const std::string& folder, const FleetSettings* settings, const JournalOptions& options,
                   std::unique_ptr<Desk>& out, DeskReport& report, journal::Recovery& recovery) {
  std::unique_ptr<Desk> desk(new Desk());
  if (Failure failure = Journal::open(folder, options, desk->journal_, recovery)) return failure;
  if (const Status status = desk->journal_->wait_written(0, -1); status != Status::ok) return {status, 0, folder + ": " + message(status)};
  FleetOrigin origin;
  if (Failure failure = fold_desk(folder, desk->fleet_, origin, report)) return failure;
  desk->sink_ = std::make_unique<JournalSink>(*desk->journal_);
  desk->fleet_.attach(desk->sink_.get());
  if (!desk->fleet_.configured()) {
    const Status status = desk->fleet_.configure(settings != nullptr ? *settings : FleetSettings{}, 0);
    if (status != Status::ok) return {status, 0, folder + ": the settings: " + message(status)};
  } else if (settings != nullptr && *settings != desk->fleet_.settings()) {
    return {Status::bad_event, 0, folder + ": it was opened with " + desk->fleet_.settings().json() + ", not with " + settings->json()};
  }
  out = std::move(desk);
  return {};
}

// The fleet stays with the closed journal, which refuses: what would change it from now on would be lost.
Failure Desk::close() { return journal_->close(); }

}  // namespace fairlead
