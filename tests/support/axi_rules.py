"""The rules of an AXI4 port, for both of its sides, looked at cycle by cycle."""

from collections import deque

_ADDRESS = ("addr", "len", "size", "burst", "cache", "prot", "id")
FIELDS = {"ar": _ADDRESS, "aw": _ADDRESS, "w": ("data", "strb", "last"),
          "r": ("data", "resp", "last", "id"), "b": ("resp", "id")}
BOUNDARY = 4096
_INCREMENTING, _EXOKAY = 1, 1


class AxiRules:
    """Raise ``AssertionError`` in the cycle in which a rule is broken (AMBA AXI4, IHI 0022).

    - Once valid, a channel stays valid with the same payload until it is taken (A3.2.1).
    - Bursts are incrementing, of whole words, aligned, and within 4 KiB (A3.4.1).
    - R: after its address was taken, in the order of the addresses, as many beats as were asked
      for, the last one marked, with the burst's identifier (A3.3.1, A5.3).
    - W: as many beats as the address says, the last one marked, in the order of the addresses;
      data may come before their address (A3.3.1).
    - B: after the address and the last word of its burst were taken, with its identifier.

    Parameters
    ----------
    word_bytes : int
        Bytes of a word.
    checked : collection of str
        The channels that are checked; the others are believed, as where a test breaks rules.
    """

    def __init__(self, word_bytes, checked=tuple(FIELDS)):
        self.word_bytes, self.checked = word_bytes, checked
        self.counts = dict.fromkeys(FIELDS, 0)   # how often something was taken on each channel
        self.forget()

    def forget(self):
        """There was a reset."""
        self.held = dict.fromkeys(FIELDS)
        self.asked = deque()      # [identifier, beats left] of reads
        self.announced = deque()  # [identifier, beats] of writes whose words have not all come
        self.written = deque()    # beats of bursts whose addresses have not come
        self.beats = 0            # of the burst that W is in
        self.owed = deque()       # identifiers of writes that may be answered

    def step(self, shown):
        """A cycle: for each channel (ready, payload by its fields; None if it is not valid)."""
        taken = {name: payload for name, (ready, payload) in shown.items()
                 if self._waits(name, ready, payload)}
        for name in ("r", "b", "w", "ar", "aw"):   # no answer in the very cycle of its address
            if name in taken:
                self.counts[name] += 1
                getattr(self, f"_{name}")(taken[name])

    def _waits(self, channel, ready, payload):
        """Whether a beat is taken, after a look at what was there in the cycle before."""
        before, self.held[channel] = self.held[channel], None if ready else payload
        if channel in self.checked:
            assert before in (None, payload), f"{channel}: {before} became {payload}"
        return ready and payload is not None

    def _burst(self, channel, burst):
        address, beats = burst["addr"], burst["len"] + 1
        if channel in self.checked:
            assert burst["burst"] == _INCREMENTING, f"{channel}: burst {burst['burst']}"
            assert 1 << burst["size"] == self.word_bytes, f"{channel}: size {burst['size']}"
            assert address % self.word_bytes == 0, f"{channel}: {address:#x} is not aligned"
            assert address % BOUNDARY + beats * self.word_bytes <= BOUNDARY, (
                f"{channel}: {beats} beats from {address:#x} cross 4 KiB")
        return [burst["id"], beats]

    def _ar(self, burst):
        self.asked.append(self._burst("ar", burst))

    def _aw(self, burst):
        self.announced.append(self._burst("aw", burst))
        self._match()

    def _w(self, beat):
        self.beats += 1
        if beat["last"]:
            self.written.append(self.beats)
            self.beats = 0
        self._match()

    def _match(self):
        """Put addresses and words of writes together."""
        while self.announced and self.written:
            identifier, beats = self.announced.popleft()
            written = self.written.popleft()
            assert written == beats, f"w: {written} words of a burst of {beats}"
            self.owed.append(identifier)
        if self.announced:
            assert self.beats < self.announced[0][1], f"w: no last of {self.announced[0][1]} words"

    def _r(self, beat):
        if "r" not in self.checked:
            return
        assert self.asked, "r: a word that nobody asked for"
        identifier, left = self.asked[0]
        assert beat["id"] == identifier, f"r: identifier {beat['id']}, not {identifier}"
        assert beat["last"] == (left == 1), f"r: last is {beat['last']}, {left} were left"
        assert beat["resp"] != _EXOKAY, "r: EXOKAY, which was not asked for"
        self.asked[0][1] -= 1
        if left == 1:
            self.asked.popleft()

    def _b(self, beat):
        if "b" not in self.checked:
            return
        assert self.owed, "b: an answer to no burst, or before its last word"
        identifier = self.owed.popleft()
        assert beat["id"] == identifier, f"b: identifier {beat['id']}, not {identifier}"
        assert beat["resp"] != _EXOKAY, "b: EXOKAY, which was not asked for"
