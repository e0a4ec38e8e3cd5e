// Tail probabilities of the tests that compare two samples. Pure functions of their arguments.
//
// Sources: gamma by series and continued fraction, W. H. Press et al., "Numerical Recipes" (2007), 6.2, modified Lentz;
// Kolmogorov: A. N. Kolmogorov (1933), both theta series; the exact two-sample distribution: counting of lattice paths,
// J. L. Hodges, "The significance probability of the Smirnov two-sample test" (1958); Cramer-von Mises: T. W. Anderson
// and D. A. Darling (1952), T. W. Anderson (1962). Precision: relative error below 2e-12 down to 1e-290, but 1e-13
// absolute for Cramer and von Mises below 0.8.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fairlead {

// P(X > x) of a chi-square with `freedom` degrees of freedom; 1 for x <= 0 or freedom <= 0.
double chi2_tail(double x, double freedom) noexcept;

// P(K > x) of Kolmogorov's distribution.
double kolmogorov_tail(double x) noexcept;

// P(D >= d) for samples of n and m values without ties, given n * m * d, which is a whole number. Exact; takes time and
// memory proportional to n * m and min(n, m). NaN where it cannot allocate.
double ks_tail_exact(std::size_t n, std::size_t m, std::uint64_t scaled);

// P(D >= d) as the sizes grow: Kolmogorov's tail at sqrt(nm / (n + m)) d, with the correction of M. A. Stephens (1970).
double ks_tail(std::size_t n, std::size_t m, double d) noexcept;

// P(W > x) of the limit of Cramer and von Mises' statistic.
double cramer_von_mises_tail(double x) noexcept;

}  // namespace fairlead
