"""What a Calibrator does, by its definition: written from the description alone, in numpy, with no care for speed."""

from __future__ import annotations

import numpy as np

BINS = 16
LEAST = 0.003


def _logs(p):
    return np.log(np.maximum(p, LEAST))


def _softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


class Oracle:
    """Its answers before the round of an outcome, and now, by method; and the mixture."""

    def __init__(self, half_life=1000.0):
        self.keep = 2.0 ** (-1.0 / half_life)
        self.maps = {"slope": 1.0, "shift": 0.0, "temperature": 1.0, "bias": None, "move": np.zeros(BINS)}
        self.before = dict(self.maps)
        self.weight = np.zeros(3)
        self.saved, self.square, self.round = np.zeros(3), np.zeros(3), np.zeros(3)
        self.information = {"platt": np.diag([10.0, 10.0]), "slope": 10.0, "temperature": 10.0, "bias": None}
        self.events = []  # of isotonic: (probability shown, happened), with the newest last
        self.residuals = []  # [sum, variance, age of its last outcome], a row a round
        self.n, self.time, self.classes, self.spread = 0, None, None, 1.0

    # --- answers -----------------------------------------------------------------------------------------------------

    def isotonic(self, maps, p):
        middles = (np.arange(BINS) + 0.5) / BINS
        return float(np.clip(p + np.interp(p, middles, maps["move"]), 1e-4, 1 - 1e-4))

    def by(self, method, p, maps=None):
        maps = self.maps if maps is None else maps
        p = np.asarray(p, float)
        top = int(p.argmax())
        if method == 0:
            if len(p) == 2:
                logit = _logs(p)[1] - _logs(p)[0]
                q = 1.0 / (1.0 + np.exp(-(maps["slope"] * logit + maps["shift"])))
                return np.array([1 - q, q])
            return _softmax(maps["slope"] * _logs(p) + maps["bias"])
        if method == 1:
            if len(p) == 2:
                q = self.isotonic(maps, p[1])
                return np.array([1 - q, q])
            to = self.isotonic(maps, p[top])
            rest = np.delete(p, top).sum()
            out = p * (1 - to) / rest if rest > 0 else np.full(len(p), (1 - to) / (len(p) - 1))
            out[top] = to
            return out
        return _softmax(maps["temperature"] * _logs(p))

    def methods(self, p):
        if len(p) == 2:
            return [0, 1]
        return [0, 1, 2] if len(p) == self.classes and len(p) <= 8 else [1, 2]

    def adjust(self, p):
        p = np.asarray(p, float)
        out, total = p.copy(), 1.0
        for m in self.methods(p):
            if self.weight[m] > 0:
                out = out + self.weight[m] * self.by(m, p)
                total += self.weight[m]
        return out / total

    # --- learning ----------------------------------------------------------------------------------------------------

    def update(self, p, outcome, time):
        p = np.asarray(p, float)
        k = len(p)
        if self.classes is None:
            self.classes = k
            if 2 < k <= 8:
                self.maps["bias"] = np.zeros(k)
                self.information["bias"] = np.full(k, 20.0)
        if time != self.time:
            self.square = self.square + self.round**2
            self.round = np.zeros(3)
            done = [(r, v, self.n - last) for r, v, last in self.residuals]
            squares = 3.0 * self.keep**self.n + sum(r * r * self.keep**age for r, _, age in done)
            variance = 3.0 * self.keep**self.n + sum(v * self.keep**age for _, v, age in done)
            self.spread = float(np.clip(squares / variance, 1.0, 200.0))
            self.residuals.append([0.0, 0.0, 0])
            self.before = {name: np.copy(x) if x is not None else None for name, x in self.maps.items()}
            self.time = time
        self.n += 1
        y = np.zeros(k)
        y[outcome] = 1.0
        loss = ((p - y) ** 2).sum()
        gain = np.zeros(3)
        for m in self.methods(p):
            gain[m] = loss - ((self.by(m, p, self.before) - y) ** 2).sum()
        top = 1 if k == 2 else int(p.argmax())
        which = 0 if 0 in self.methods(p) else 2
        expected = self.by(which, p, self.before)[top]
        self.learn(p, outcome)
        self.saved = self.keep * self.saved + gain
        self.square = self.keep**2 * self.square
        self.round = self.keep * self.round + gain
        row = self.residuals[-1]
        row[0] += y[top] - expected
        row[1] += expected * (1 - expected)
        row[2] = self.n
        self.events.append((p[top], y[top]))
        if self.n % (8 if self.n < 256 else 32) == 0:
            self.fit()
            eta = np.minimum(0.5, 2.0 / np.sqrt(self.square + self.round**2 + 1e-9))
            self.weight = np.maximum(0.0, 0.5 * (np.exp(np.minimum(eta * self.saved, 50.0)) - 1.0))

    def learn(self, p, outcome):
        keep, lost, maps, info = self.keep, 1.0 - self.keep, self.maps, self.information
        logs = _logs(p)
        if len(p) == 2:
            x = logs[1] - logs[0]
            q = self.by(0, p)[1]
            f = np.array([x, 1.0])
            prior, mean = np.diag([10.0, 10.0]), np.array([1.0, 0.0])
            theta = np.array([maps["slope"], maps["shift"]])
            info["platt"] = keep * info["platt"] + lost * prior + q * (1 - q) / self.spread * np.outer(f, f)
            gradient = (outcome - q) / self.spread * f + lost * prior @ (mean - theta)
            theta = theta + np.linalg.solve(info["platt"], gradient)
            maps["slope"], maps["shift"] = np.clip(theta[0], 0.05, 4.0), np.clip(theta[1], -4.0, 4.0)
            return
        q = self.by(2, p)
        mean, variance = q @ logs, q @ logs**2 - (q @ logs) ** 2
        info["temperature"] = keep * info["temperature"] + lost * 10.0 + variance / self.spread
        step = (logs[outcome] - mean) / self.spread + lost * 10.0 * (1.0 - maps["temperature"])
        heat = np.clip(maps["temperature"] + step / info["temperature"], 0.05, 4.0)
        if 0 in self.methods(p):
            q = self.by(0, p)
            y = np.eye(len(p))[outcome]
            mean, variance = q @ logs, q @ logs**2 - (q @ logs) ** 2
            info["slope"] = keep * info["slope"] + lost * 10.0 + variance / self.spread
            step = (logs[outcome] - mean) / self.spread + lost * 10.0 * (1.0 - maps["slope"])
            info["bias"] = keep * info["bias"] + lost * 20.0 + q * (1 - q) / self.spread
            move = (y - q) / self.spread - lost * 20.0 * maps["bias"]
            maps["slope"] = np.clip(maps["slope"] + step / info["slope"], 0.05, 4.0)
            maps["bias"] = np.clip(maps["bias"] + move / info["bias"], -4.0, 4.0)
        maps["temperature"] = heat

    def fit(self):
        mean, value, weight = self.table()
        blocks = []  # value, weight, bins
        for v, w in zip(value, weight, strict=True):
            blocks.append([v, w, 1])
            while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
                v, w, n = blocks.pop()
                last = blocks[-1]
                last[0] = (last[0] * last[1] + v * w) / (last[1] + w)
                last[1] += w
                last[2] += n
        self.maps["move"] = self.kept_monotone(np.repeat([b[0] for b in blocks], [b[2] for b in blocks]) - mean)

    def table(self):
        """Mean probability, shrunk frequency and weight of every bin."""
        shown, happened = (np.array(x) for x in zip(*self.events, strict=True))
        w = self.keep ** np.arange(len(shown))[::-1]
        bin = np.minimum((shown * BINS).astype(int), BINS - 1)
        n, s, t = (np.bincount(bin, w * x, BINS) for x in (np.ones_like(w), happened, shown))
        mean = np.where(n > 0, t / np.where(n > 0, n, 1.0), (np.arange(BINS) + 0.5) / BINS)
        weight = n / self.spread + 40.0
        return mean, (s / self.spread + 40.0 * mean) / weight, weight

    @staticmethod
    def kept_monotone(move):
        for i in range(1, BINS):
            move[i] = max(move[i], move[i - 1] - 1.0 / BINS)
        return move
