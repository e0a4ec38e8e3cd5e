// Breakers of a fleet: one a model and one a provider, with the latencies of each model.
//
// A call goes through where both let it, and its end is told to both. What a provider's breaker learns is the provider's
// health alone: a rate limit, a refusal or an answer that cannot be read is its model's own affair. One model that fails while it alone
// is asked does not close its provider for the others: failures in a row that are all of one model stop one short, until
// another model's fails, too, or no connection was made at all (`CallFailure::network`).
//
// Adding models allocates; nothing else does.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fairlead/breaker.hpp"
#include "fairlead/latency_histogram.hpp"
#include "fairlead/names.hpp"

namespace fairlead {

// The tickets of both; 0 is no call.
using BreakersCall = std::uint64_t;

class Breakers {
 public:
  using ProviderId = std::int32_t;

  // Made from options without a fault: for models that are given none of their own, and for providers.
  explicit Breakers(const BreakerOptions& models = {}) noexcept : Breakers(models, models) {}
  Breakers(const BreakerOptions& models, const BreakerOptions& providers) noexcept
      : model_options_(models), provider_options_(providers) {}

  // Ids are dense, in the order of adding. A known name: its provider must be the same, and its breaker stays.
  Status add(std::string_view model, std::string_view provider, ModelId& out) noexcept {
    return add(model, provider, model_options_, out);
  }
  Status add(std::string_view model, std::string_view provider, const BreakerOptions& options, ModelId& out) noexcept {
    return add(model, provider, options, provider_options_, out);
  }
  // `of_provider`: of its provider's breaker, where the provider is new.
  Status add(std::string_view model, std::string_view provider, const BreakerOptions& options,
             const BreakerOptions& of_provider, ModelId& out) noexcept;

  ModelId find(std::string_view model) const noexcept { return names_.find(model); }
  ProviderId find_provider(std::string_view provider) const noexcept { return provider_names_.find(provider); }
  std::int32_t size() const noexcept { return static_cast<std::int32_t>(models_.size()); }
  std::int32_t providers() const noexcept { return static_cast<std::int32_t>(providers_.size()); }
  const std::string& name(ModelId model) const noexcept { return names_.name(model); }
  const std::string& provider_name(ProviderId provider) const noexcept { return provider_names_.name(provider); }

  const BreakerOptions& model_options() const noexcept { return model_options_; }
  const BreakerOptions& provider_options() const noexcept { return provider_options_; }
  bool known(ModelId model) const noexcept { return model >= 0 && model < size(); }

  // `no` for a model that is not there.
  Gate gate(ModelId model, Time now) const noexcept {
    if (!known(model)) return Gate::no;
    const Model& me = at(model);
    return std::max(me.breaker.gate(now), provider(me).breaker.gate(now));  // the stricter one
  }
  bool allow(ModelId model, Time now) const noexcept { return gate(model, now) == Gate::yes; }

  // Both calls begin, or none.
  Gate begin(ModelId model, Time now, BreakersCall& call) noexcept {
    call = 0;
    const Gate open = gate(model, now);
    if (open == Gate::yes) {
      Model& me = at(model);
      call = std::uint64_t{me.breaker.enter(now)} << 32 | provider(me).breaker.enter(now);
    }
    return open;
  }

  Status success(ModelId model, BreakersCall call, Time now, Time latency = Breaker::unknown) noexcept {
    if (!known(model)) return Status::unknown_model;
    Model& me = at(model);
    me.breaker.success(first(call), now, latency);
    provider(me).breaker.success(second(call), now, latency);
    me.latency.add(latency);
    return Status::ok;
  }

  Status failure(ModelId model, BreakersCall call, Time now, CallFailure kind, Time retry_after = Breaker::unknown,
                 Time latency = Breaker::unknown) noexcept {
    if (!known(model)) return Status::unknown_model;
    Model& me = at(model);
    me.breaker.failure(first(call), now, kind, retry_after, latency);
    Provider& its = provider(me);
    if (!tells_provider_health(kind)) {
      its.breaker.failure(second(call), now, CallFailure::cancelled, Breaker::unknown, latency);
      return Status::ok;
    }
    if (its.breaker.is_fresh(second(call), now, latency)) {
      if (its.breaker.streak() == 0) its.failing = model;
      if (its.failing != model) its.failing = several;
    }
    its.breaker.failure(second(call), now, kind, Breaker::unknown, latency,
                        its.failing == several || kind == CallFailure::network);
    return Status::ok;
  }

  // As Breaker::release, of both.
  Status release(ModelId model, BreakersCall call, Time now) noexcept {
    if (!known(model)) return Status::unknown_model;
    at(model).breaker.release(first(call), now);
    provider(at(model)).breaker.release(second(call), now);
    return Status::ok;
  }

  // The model is another provider's from now on, which is added if it is new. Its own breaker stays.
  Status move(ModelId model, std::string_view provider, const BreakerOptions& of_provider) noexcept;

  // As Breaker::close, of the model and of its provider.
  Status close(ModelId model, Time now) noexcept;

  // Of known ids only.
  const Breaker& breaker(ModelId model) const noexcept { return at(model).breaker; }
  const Breaker& provider_breaker(ProviderId id) const noexcept {
    return providers_[static_cast<std::size_t>(id)].breaker;
  }
  ProviderId provider_of(ModelId model) const noexcept { return at(model).provider; }
  const LatencyHistogram& latency(ModelId model) const noexcept { return at(model).latency; }
  // When the gate may next say yes, if nothing happens before; the lowest time where neither breaker is open.
  Time until(ModelId model) const noexcept {
    return std::max(at(model).breaker.until(), provider(at(model)).breaker.until());
  }

  std::string snapshot() const;
  static Status restore(std::string_view bytes, Breakers& out);

 private:
  static constexpr ModelId several = -2;

  struct Model {
    Breaker breaker;
    LatencyHistogram latency;
    ProviderId provider = 0;
  };
  struct Provider {
    Breaker breaker;
    ModelId failing = several;  // whose the failures in a row are
  };

  static BreakerCall first(BreakersCall call) noexcept { return static_cast<BreakerCall>(call >> 32); }
  static BreakerCall second(BreakersCall call) noexcept { return static_cast<BreakerCall>(call); }
  ProviderId add_provider(std::string_view name, const BreakerOptions& options);  // where it is new. May throw std::bad_alloc
  Model& at(ModelId model) noexcept { return models_[static_cast<std::size_t>(model)]; }
  const Model& at(ModelId model) const noexcept { return models_[static_cast<std::size_t>(model)]; }
  Provider& provider(const Model& model) noexcept { return providers_[static_cast<std::size_t>(model.provider)]; }
  const Provider& provider(const Model& model) const noexcept {
    return providers_[static_cast<std::size_t>(model.provider)];
  }

  BreakerOptions model_options_, provider_options_;
  NameTable names_, provider_names_;
  std::vector<Model> models_;
  std::vector<Provider> providers_;
};

}  // namespace fairlead
