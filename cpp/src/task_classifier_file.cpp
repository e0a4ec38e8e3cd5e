// The file of a TaskClassifier: reading checks all of it, and refuses what it does not understand.
#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include "fairlead/safetensors.hpp"
#include "fairlead/task_classifier.hpp"

namespace fairlead {

namespace {

constexpr std::size_t least_bits = 8, most_bits = 20;

struct Wrong {
  std::string why;
};

[[noreturn]] void wrong(std::string why) { throw Wrong{std::move(why)}; }

std::string quoted(const std::string& text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\', out += c;
    } else if (byte < 0x20) {
      out += "\\u00", out += digits[byte >> 4], out += digits[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

void append(std::string& to, float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  for (int i = 0; i < 4; ++i) to += static_cast<char>(bits >> 8 * i & 255u);
}

}  // namespace

struct TaskClassifierFile {
  static TaskClassifier read(std::span<const std::byte> file) {
    SafeTensors in;
    std::string why;
    if (const Status status = in.read(file, why); status == Status::out_of_memory) throw std::bad_alloc();
    else if (status != Status::ok) wrong(std::move(why));
    TaskClassifier out;
    const auto said = [&](const char* key) {
      const auto found = in.metadata().find(key);
      return found == in.metadata().end() ? std::string() : found->second;
    };
    if (said("fairlead") != "task_classifier") wrong("metadata fairlead is '" + said("fairlead") + "', must be 'task_classifier'");
    if (said("features") != "1") wrong("metadata features is '" + said("features") + "', this version reads '1'");
    for (std::size_t i = 0; in.metadata().contains("type." + std::to_string(i)); ++i) out.types_.push_back(in.metadata().at("type." + std::to_string(i)));
    const std::size_t k = out.types_.size();
    if (k < 2 || k > TaskClassifier::most_types) wrong("it has " + std::to_string(k) + " types, must have from 2 to 63");
    if (in.metadata().size() != k + 2) wrong("metadata has other entries than fairlead, features and the types");
    for (std::size_t i = 0; i < k; ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (out.types_[i] == out.types_[j]) wrong("type '" + out.types_[i] + "' is there twice");
    if (in.tensors().size() != 5) wrong("it has " + std::to_string(in.tensors().size()) + " tensors, must have 5");

    const SafeTensors::Tensor& lexical = tensor(in, "lexical", "I8", 2);
    const std::size_t rows = lexical.shape[0];
    if (!std::has_single_bit(rows) || rows < std::size_t{1} << least_bits || rows > std::size_t{1} << most_bits || lexical.shape[1] != k)
      wrong("lexical must have a power of two of rows, from 2^8 to 2^20, and a column for each type");
    out.bits_ = static_cast<std::size_t>(std::countr_zero(rows));
    out.lexical_ = whole(in, lexical, "lexical");
    out.structural_ = whole(in, sized(in, "structural", "I8", {TaskClassifier::structural_rows, k}), "structural");
    out.bias_ = real(in, sized(in, "bias", "F32", {k}), "bias");
    const std::vector<float> scale = real(in, sized(in, "scale", "F32", {2}), "scale");
    out.lexical_scale_ = scale[0];
    out.structural_scale_ = scale[1];
    out.temperature_ = real(in, sized(in, "temperature", "F32", {1}), "temperature")[0];
    if (!(scale[0] >= 0.0f && scale[1] >= 0.0f)) wrong("scale is negative");
    if (!(out.temperature_ >= 1e-6f)) wrong("temperature is below 1e-6");
    out.pack();
    return out;
  }

  static std::string write(const TaskClassifier& c) {
    const std::size_t k = c.types_.size();
    std::string header = "{\"__metadata__\":{\"fairlead\":\"task_classifier\",\"features\":\"1\"", data;
    for (std::size_t i = 0; i < k; ++i) header += ",\"type." + std::to_string(i) + "\":" + quoted(c.types_[i]);
    header += "}";
    const auto add = [&](const char* name, const char* type, const std::string& shape, const std::string& bytes) {
      header += std::string(",\"") + name + "\":{\"dtype\":\"" + type + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
                std::to_string(data.size()) + "," + std::to_string(data.size() + bytes.size()) + "]}";
      data += bytes;
    };
    std::string bias, scale, temperature;
    for (const float b : c.bias_) append(bias, b);
    append(scale, c.lexical_scale_), append(scale, c.structural_scale_);
    append(temperature, c.temperature_);
    // Wide types first, so that all of them are aligned.
    add("bias", "F32", std::to_string(k), bias);
    add("scale", "F32", "2", scale);
    add("temperature", "F32", "1", temperature);
    const auto bytes_of = [](const std::vector<std::int8_t>& v) { return std::string(reinterpret_cast<const char*>(v.data()), v.size()); };
    add("structural", "I8", std::to_string(TaskClassifier::structural_rows) + "," + std::to_string(k), bytes_of(c.structural_));
    add("lexical", "I8", std::to_string(std::size_t{1} << c.bits_) + "," + std::to_string(k), bytes_of(c.lexical_));
    header += "}";
    while (header.size() % 8 != 0) header += ' ';
    std::string all;
    for (int i = 0; i < 8; ++i) all += static_cast<char>(header.size() >> 8 * i & 255u);
    return all + header + data;
  }

 private:
  static const SafeTensors::Tensor& tensor(const SafeTensors& in, const char* name, const char* type, std::size_t dimensions) {
    const SafeTensors::Tensor* const found = in.find(name);
    if (found == nullptr) wrong(std::string("tensor ") + name + " is missing");
    if (found->type != type || found->shape.size() != dimensions)
      wrong(std::string("tensor ") + name + " must have dtype " + type + " and " + std::to_string(dimensions) + " dimensions");
    return *found;
  }
  static const SafeTensors::Tensor& sized(const SafeTensors& in, const char* name, const char* type, const std::vector<std::size_t>& shape) {
    const SafeTensors::Tensor& found = tensor(in, name, type, shape.size());
    if (found.shape != shape) wrong(std::string("tensor ") + name + " has another shape than the types need");
    return found;
  }
  static std::vector<float> real(const SafeTensors& in, const SafeTensors::Tensor& t, const char* name) {
    std::vector<float> out(t.numbers());
    if (!in.floats(t, out.data())) wrong(std::string("tensor ") + name + " cannot be read");
    for (const float x : out)
      if (!(std::abs(x) <= 1e6f)) wrong(std::string("tensor ") + name + " has a number beyond 1e6, or NaN");
    return out;
  }
  static std::vector<std::int8_t> whole(const SafeTensors& in, const SafeTensors::Tensor& t, const char* name) {
    const std::span<const std::byte> bytes = in.bytes(t);
    std::vector<std::int8_t> out(bytes.size());
    std::memcpy(out.data(), bytes.data(), bytes.size());
    for (const std::int8_t x : out)
      if (x < -120 || x > 120) wrong(std::string("tensor ") + name + " has a weight beyond 120");
    return out;
  }
};

Status TaskClassifier::read(std::span<const std::byte> file, std::string* why) noexcept {
  try {
    *this = TaskClassifierFile::read(file);
    return Status::ok;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  } catch (Wrong& error) {
    if (why != nullptr) *why = std::move(error.why);
    return Status::not_a_policy;
  }
}

std::string TaskClassifier::bytes() const { return TaskClassifierFile::write(*this); }

}  // namespace fairlead
