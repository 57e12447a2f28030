"""Progress that remembers what it was told."""


class Watch:
    def __init__(self):
        self.total, self.done = None, 0
        self.steps, self.results, self.notes = [], [], []

    def start(self, total, what=""):
        assert self.total is None, "one work starts once"
        self.total = total
        self.steps += [what] if what else []

    def advance(self, amount=1):
        self.done += amount

    def doing(self, what):
        self.steps.append(what)

    def finished(self, item):
        self.results.append(item)

    def note(self, sentence):
        self.notes.append(sentence)
