"""An engine that does tasks in an order of chance, and loses some of them."""

from __future__ import annotations

import pickle

from femto_bluesky.reprocess.engines import WorkerDiedError
from femto_bluesky.reprocess.folding import Folder


class ChanceEngine:
    """As a cluster would: results stay as they are, and lie at places of chance.

    Whatever can go wrong with a worker does, for the share `loss` of the tasks.
    """

    folds_on = False

    def __init__(self, pattern, rng, *, n_workers=2, n_merged=2, loss=0.0, parts=None):
        self._folder = Folder(pattern, parts)
        self._rng, self._loss = rng, loss
        self._waiting = {}
        self._results = {}
        self.n_workers, self.n_merged = n_workers, n_merged
        self.most = 0

    def fold(self, number, piece, into):
        assert into is None
        self._waiting[number] = pickle.dumps(piece)  # as it is sent

    def merge(self, number, results):
        self._waiting[number] = [self._results[result] for result in results]

    def ended(self):
        self.most = max(self.most, len(self._waiting))
        number = self._rng.choice(list(self._waiting))
        what = self._waiting.pop(number)
        place = str(self._rng.randrange(self.n_workers))
        if self._rng.random() < self._loss:
            return [(number, self._rng.choice([OSError("lost"), WorkerDiedError("died")]), "")]
        try:
            if isinstance(what, bytes):
                found = self._folder.fold(pickle.loads(what))
            else:
                found = self._folder.merge([pickle.loads(one) for one in what])
        except Exception as error:
            return [(number, error, "")]
        self._results[number] = pickle.dumps(found)
        return [(number, number, place)]

    def fetch(self, result):
        return pickle.loads(self._results[result])

    def take(self, result):
        return pickle.loads(self._results.pop(result))

    def put(self, partial):
        number = -1 - len(self._results)
        self._results[number] = pickle.dumps(partial)
        return number

    def drop(self, result):
        del self._results[result]

    def close(self):
        assert not self._waiting
        assert not self._results, "results that nobody has dropped"
