#include "fairlead/breakers.hpp"

namespace fairlead {

Breakers::ProviderId Breakers::add_provider(std::string_view name, const BreakerOptions& options) {
  providers_.reserve(providers_.size() + 1);
  const ProviderId id = provider_names_.intern(name);
  if (static_cast<std::size_t>(id) == providers_.size()) providers_.push_back({Breaker(options), several});
  return id;
}

Status Breakers::add(std::string_view model, std::string_view provider, const BreakerOptions& options,
                     const BreakerOptions& of_provider, ModelId& out) noexcept {
  try {
    const ProviderId its = provider_names_.find(provider);
    if (const ModelId known = names_.find(model); known != NameTable::absent) {
      if (at(known).provider != its) return Status::model_differs;
      out = known;
      return Status::ok;
    }
    // Room first: what follows the last allocation cannot fail.
    models_.reserve(models_.size() + 1);
    const ProviderId id = add_provider(provider, of_provider);
    const ModelId added = names_.intern(model);
    models_.push_back({Breaker(options), {}, id});
    out = added;
    return Status::ok;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;  // a provider without models may have been added
  }
}

Status Breakers::move(ModelId model, std::string_view provider, const BreakerOptions& of_provider) noexcept {
  if (!known(model)) return Status::unknown_model;
  try {
    at(model).provider = add_provider(provider, of_provider);
    return Status::ok;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

Status Breakers::close(ModelId model, Time now) noexcept {
  if (!known(model)) return Status::unknown_model;
  at(model).breaker.close(now);
  provider(at(model)).breaker.close(now);
  return Status::ok;
}

std::string Breakers::snapshot() const {
  SnapshotWriter writer("breakers", 1);
  // Options have no format but that of a breaker which holds them.
  Breaker(model_options_).save(writer);
  Breaker(provider_options_).save(writer);
  writer.put(names_);
  writer.put(provider_names_);
  for (const Model& model : models_) {
    model.breaker.save(writer);
    model.latency.save(writer);
    writer.put(model.provider);
  }
  for (const Provider& provider : providers_) {
    provider.breaker.save(writer);
    writer.put(provider.failing);
  }
  return writer.finish();
}

Status Breakers::restore(std::string_view bytes, Breakers& out) {
  SnapshotReader reader(bytes, "breakers", 1);
  Breakers read;
  Breaker options;
  options.load(reader);
  read.model_options_ = options.options();
  options.load(reader);
  read.provider_options_ = options.options();
  reader.get(read.names_);
  reader.get(read.provider_names_);
  for (std::int32_t i = 0; reader.ok() && i < read.names_.size(); ++i) {
    Model& model = read.models_.emplace_back();
    model.breaker.load(reader);
    model.latency.load(reader);
    reader.get(model.provider);
    reader.require(model.provider >= 0 && model.provider < read.provider_names_.size());
  }
  for (std::int32_t i = 0; reader.ok() && i < read.provider_names_.size(); ++i) {
    Provider& provider = read.providers_.emplace_back();
    provider.breaker.load(reader);
    reader.get(provider.failing);
    reader.require(provider.failing >= several && provider.failing < read.names_.size());
  }
  const Status status = reader.finish();
  if (status == Status::ok) out = std::move(read);
  return status;
}

}  // namespace fairlead
