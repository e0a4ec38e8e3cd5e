#include "json.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <new>
#include <utility>

#include "fairlead/fleet.hpp"
#include "json_value.hpp"

namespace fairlead {

namespace {

bool set(double& target, double value, double least, double most) noexcept {
  if (!(value >= least && value <= most)) return false;
  target = value;
  return true;
}

bool set(std::uint64_t& target, double value, double least, double most) noexcept {
  if (!(value >= least && value <= most) || value != std::floor(value)) return false;
  target = static_cast<std::uint64_t>(value);
  return true;
}

// As Python's repr: the fewest digits that give the number again, with an exponent below 1e-4 and from 1e16 on.
void append_float(std::string& out, double value) {
  std::array<char, 32> text{};
  const double size = std::fabs(value);
  const bool plain = value == 0.0 || (size >= 1e-4 && size < 1e16);
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value, format);
  const std::string_view written(text.data(), end);
  out += written;
  if (plain && written.find('.') == std::string_view::npos) out += ".0";
}

}  // namespace

void append_json(std::string& out, std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef", shorts = "\b\f\n\r\t", letters = "bfnrt";
  out += '"';
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (const std::size_t known = shorts.find(c); known != std::string_view::npos) {
      (out += '\\') += letters[known];
    } else if (code < 0x20) {
      ((out += "\\u00") += digits[code >> 4]) += digits[code & 15u];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json(std::string& out, double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  out.append(text.data(), end);
}

std::string model_json(const Model& model) {
  std::string out = "{\"name\": ";
  append_json(out, model.name);
  append_json(out += ", \"provider\": ", model.provider);
  append_json(out += ", \"tier\": ", tier_names[static_cast<std::size_t>(model.tier)]);
  append_float(out += ", \"price_in\": ", model.price_in);
  append_float(out += ", \"price_out\": ", model.price_out);
  append_float(out += ", \"price_cached\": ", model.price_cached);
  out += ", \"tags\": [";
  for (std::size_t i = 0; i < model.tags.size(); ++i) {
    if (i > 0) out += ", ";
    append_json(out, model.tags[i]);
  }
  out += ']';
  if (model.price_written != 0.0) append_float(out += ", \"price_written\": ", model.price_written);  // not in old journals
  return out += '}';
}

ScoreboardOptions FleetSettings::board() const noexcept {
  ScoreboardOptions options;
  options.elo.k = k;
  options.elo.scale = scale;
  options.elo.start = start;
  options.hedge.half_life = half_life;
  options.history = static_cast<std::size_t>(history);
  options.psi_reference = static_cast<std::size_t>(psi_reference);
  options.psi_window = static_cast<std::size_t>(psi_window);
  return options;
}

std::string FleetSettings::json() const {
  std::string out = "{\"k\": ";
  append_json(out, k);
  append_json(out += ", \"scale\": ", scale);
  append_json(out += ", \"start\": ", start);
  append_json(out += ", \"half_life\": ", half_life);
  const std::initializer_list<std::pair<const char*, std::uint64_t>> counts{
      {"history", history}, {"psi_reference", psi_reference}, {"psi_window", psi_window}, {"remember", remember}};
  for (const auto& [name, value] : counts) ((out += ", \"") += name) += "\": " + std::to_string(value);
  // Not in old journals, and not written where they say nothing, so that older versions read them.
  const FleetSettings usual;
  if (kelly != usual.kelly) append_json(out += ", \"kelly\": ", kelly);
  if (capital_usd != usual.capital_usd) append_json(out += ", \"capital_usd\": ", capital_usd);
  if (drawdown_limit != usual.drawdown_limit) append_json(out += ", \"drawdown_limit\": ", drawdown_limit);
  return out += '}';
}

Status FleetSettings::parse(std::string_view json, FleetSettings& out) noexcept {
  FleetSettings read;
  JsonValue given;
  try {
    if (!JsonValue::parse(json, given) || !given.is(JsonValue::Kind::object)) return Status::bad_event;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  for (std::size_t i = 0; i < given.names.size(); ++i) {
    const std::string& name = given.names[i];
    if (!given.items[i].is(JsonValue::Kind::number)) return Status::bad_event;
    const double value = given.items[i].number;
    bool fits = false;  // the bounds of python/fairlead/settings.py
    if (name == "k") fits = set(read.k, value, 1e-9, 1e6);
    else if (name == "scale") fits = set(read.scale, value, 1e-3, 1e9);
    else if (name == "start") fits = set(read.start, value, -1e9, 1e9);
    else if (name == "half_life") fits = set(read.half_life, value, 1e-9, 1e12);
    else if (name == "history") fits = set(read.history, value, 1, 1e9);
    else if (name == "psi_reference") fits = set(read.psi_reference, value, 1, 1e9);
    else if (name == "psi_window") fits = set(read.psi_window, value, 1, 1e9);
    else if (name == "remember") fits = set(read.remember, value, 0, 1e12);
    else if (name == "kelly") fits = set(read.kelly, value, 0, 1);
    else if (name == "capital_usd") fits = set(read.capital_usd, value, 0, 1e15);
    else if (name == "drawdown_limit") fits = set(read.drawdown_limit, value, 1e-9, 1);
    else return Status::unknown_format;
    if (!fits) return Status::bad_event;
  }
  out = read;
  return Status::ok;
}

}  // namespace fairlead
