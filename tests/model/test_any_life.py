"""Promises 1 to 3 of the pure decisions alone: whatever outcomes, crashes and commands come, in
whatever order, no VOD is uploaded twice, lost, or stuck.

What is true at Twitch and YouTube is kept beside the VOD. A worker sees of it what the pipeline
would, and sometimes less; what it stores is what `decision.after` says, and a crash stores
nothing. (`tests/pipeline/test_life_of_a_vod.py` does the same with the real lanes and database.)
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.model.a_vod import NOW, vod
from vodtender.errors import (
    AuthExpired,
    CredentialsMissing,
    Locked,
    RateLimited,
    Refused,
    Rejected,
    Stopped,
    Transient,
    Uncertain,
    VodtenderError,
)
from vodtender.model import decision, intervention
from vodtender.model import outcome as o
from vodtender.model.backoff import Backoff
from vodtender.model.settlement import Policy, Settlement, Signal
from vodtender.model.vod import FileRecord, Stage, Standing, Vod, Waiting

ABSENCE = timedelta(hours=1)
POLICY = Policy(
    Backoff(3, timedelta(seconds=1), timedelta(minutes=10)),
    Backoff(3, timedelta(seconds=1), timedelta(minutes=10)),
    absence_wait=ABSENCE,
)
LONGEST_WAIT = timedelta(days=1)
TIMES = tuple(timedelta(seconds=s) for s in (1, 40, 700, 3700, 25_000))
FILE = FileRecord("/data/x.mp4", "d", 1, "0" * 64, 0, 1.0)
FINAL = (Stage.PUBLISHED, Stage.FAILED, Stage.SKIPPED)

ENDS = ("whole", "whole", "live", "missing", "hidden", "cut", "gone", "rejected", *["crash"] * 2)
ENDS += ("lost", "lost", "lost before")
TROUBLES = (
    Transient("down"),
    Transient("full", code="disk_full"),
    Locked("busy"),
    AuthExpired("void"),
    CredentialsMissing("none"),
    RateLimited("slowly", until=NOW),
    Stopped("asked to"),
)


@dataclass
class Video:
    born_at: timedelta
    status: str = "processing"


@dataclass
class Truth:
    """Of one VOD. `session` is None, `open`, `gone` (and never a video) or `done`."""

    file: bool = False
    session: str | None = None
    videos: list[Video] = field(default_factory=list)

    @property
    def video(self) -> Video | None:
        return next((v for v in self.videos if v.status != "deleted"), None)


class AnyLife(RuleBasedStateMachine):
    """One VOD, its worker, and everybody who can get in the way."""

    def __init__(self) -> None:
        super().__init__()
        self.time = timedelta(0)
        self.truth = Truth()
        self.vod: Vod = vod(Stage.QUEUED, downloaded_path=None, vanishes_at=None)
        self.hidden = timedelta(0)

    # --- the worker -----------------------------------------------------------------------

    @rule(
        wait=st.booleans(),
        end=st.sampled_from(ENDS),
        trouble=st.sampled_from([*[None] * 9, *TROUBLES]),
        hidden=st.sampled_from([timedelta(0), timedelta(minutes=20), ABSENCE * 0.9]),
    )
    def a_worker_works(
        self, *, wait: bool, end: str, trouble: VodtenderError | None, hidden: timedelta
    ) -> None:
        """On what is due, having waited until it is. A video that comes of it is `hidden` for a
        while."""
        at = self.vod.next_try_at
        if self.vod.stage in FINAL:
            return
        if at is not None and at > NOW + self.time:
            if not wait:
                return
            self.time = at - NOW
        if isinstance(trouble, RateLimited):
            trouble = RateLimited("slowly", until=NOW + self.time + timedelta(hours=1))
        if self.truth.video is None:
            self.hidden = hidden
        if self.vod.stage.wants_download:
            self.download(end, trouble)
        elif self.vod.stage is Stage.VERIFYING:
            self.verify(trouble)
        else:
            self.upload(end, trouble)

    def download(self, end: str, trouble: VodtenderError | None) -> None:
        self.advance(Stage.DOWNLOADING)
        if (self.vod.recheck or self.truth.session) and self.seen() is not None:
            self.store(o.OnYouTube("v"))
        elif trouble is not None:
            self.store(o.Failed(trouble))
        elif end == "live" and not self.truth.file:
            self.store(o.Recording())
        elif end in ("missing", "hidden"):
            self.store(o.Missing("no such VOD", None if end == "missing" else False))
        elif end != "crash":
            self.truth.file = True
            self.store(o.Fetched(FILE))

    def upload(self, end: str, trouble: VodtenderError | None) -> None:
        """Asks first, as the pipeline does; sends only what YouTube certainly does not have."""
        if trouble is not None:
            self.store(o.Failed(trouble))
            return
        if (known := self.asked()) is not None:
            self.store(known)
            return
        if not self.truth.file:
            self.store(o.FileGone("somebody has deleted it"))
            return
        if self.truth.session is None:
            self.truth.session = "open"
        self.advance(Stage.UPLOADING)
        self.send(end)

    def asked(self) -> o.Outcome | None:
        """What YouTube says of the VOD; None if it certainly has nothing whole."""
        if self.vod.video_id is not None:
            return o.OnYouTube("v") if self.seen() else o.Vanished(("v",))
        if self.truth.session is None:
            return o.OnYouTube("v") if self.seen() else None
        if self.truth.session == "done":
            return o.OnYouTube("v") if self.seen() else o.Absent()
        if self.vod.stage is Stage.FINALIZING:
            return o.Unfinished() if self.truth.session == "open" else o.Absent()
        if self.truth.session == "gone":
            return o.Failed(Transient("gone"), session_over=True)
        return None

    def send(self, end: str) -> None:
        if end == "cut":
            self.store(o.Failed(Transient("cut"), progressed=True))
        elif end == "gone":
            self.truth.session = "gone"
            self.store(o.Failed(Transient("gone"), session_over=True))
        elif end == "rejected":
            self.truth.session = "gone"
            self.store(o.Failed(Rejected("no"), session_over=True))
        else:
            self.advance(Stage.FINALIZING)  # noted before the last chunk
            if end != "lost before":
                self.truth.session = "done"
                assert self.truth.video is None, "uploaded twice"
                self.truth.videos.append(Video(self.time))
            if end == "whole":
                self.store(o.OnYouTube("v"))
            elif end != "crash":
                self.store(o.Failed(Uncertain("no answer")))

    def verify(self, trouble: VodtenderError | None) -> None:
        video = self.seen()
        if trouble is not None:
            self.store(o.Failed(trouble))
        elif video is None:
            self.store(o.Vanished(("v",)))
        elif video.status == "refused":
            video.status = "deleted"
            self.truth.session = None
            self.store(o.Refused(("v",), "duplicate"))
        else:
            self.store(o.Processed() if video.status == "processed" else o.Processing())

    def seen(self) -> Video | None:
        """A fresh video is not shown for a while."""
        video = self.truth.video
        return None if video is None or self.time < video.born_at + self.hidden else video

    def advance(self, stage: Stage) -> None:
        self.vod = replace(self.vod, stage=stage)

    def store(self, outcome: o.Outcome) -> None:
        before = self.vod
        settlement = decision.after(before, outcome, POLICY, NOW + self.time, 0.3)
        self.check(before, settlement)
        if isinstance(outcome, o.Failed) and isinstance(outcome.error, Uncertain):
            assert settlement.standing.stage is Stage.FINALIZING, (
                "not asked before it is sent again"
            )
        self.put(settlement.standing)
        if settlement.file is not None:
            self.vod = replace(self.vod, downloaded_path=settlement.file.path)
        if settlement.forget_file:
            self.vod = replace(self.vod, downloaded_path=None)
        if settlement.forget_session or settlement.forget_videos:
            self.truth.session = None

    def check(self, before: Vod, settlement: Settlement) -> None:
        stage = settlement.standing.stage
        if settlement.forget_session:
            assert self.truth.video is None, "a session is given up that became a video"
        if settlement.forget_videos:
            assert self.truth.video is None, "a video is forgotten that is there"
        if settlement.forget_file:
            assert not self.truth.file, "a file is forgotten that is there"
        if stage is Stage.PUBLISHED:
            assert self.truth.video is not None
            assert self.truth.video.status == "processed"
        if stage is Stage.UPLOADING and before.stage is Stage.FINALIZING:
            assert self.truth.session == "open", "sent again without knowing"
        if settlement.signal is Signal.FAILURE:
            assert before.stage is not Stage.VERIFYING, "asking counts as a failure"

    def put(self, standing: Standing) -> None:
        known = {one.name: getattr(standing, one.name) for one in fields(standing)}
        self.vod = replace(self.vod, **known)

    # --- everybody else -------------------------------------------------------------------

    @rule(
        what=st.sampled_from(["time", "processed", "processed", "refused", "file", "session"]),
        time=st.sampled_from(TIMES),
    )
    def something_else_happens(self, what: str, time: timedelta) -> None:
        video = self.truth.video
        if what == "time":
            self.time += time
        elif what == "file":
            self.truth.file = False
        elif what == "session" and self.truth.session == "open":
            self.truth.session = "gone"
        elif what in ("processed", "refused") and video is not None:
            video.status = what if video.status == "processing" else video.status

    @rule(command=st.sampled_from([intervention.retry, intervention.reprocess, intervention.skip]))
    def an_operator_types(self, command: object) -> None:
        """What the store makes of it: nothing is forgotten that YouTube may have."""
        try:
            acts = command(self.vod, NOW + self.time).acts  # type: ignore[operator]
        except Refused:
            return
        if not acts:
            return
        if command is intervention.skip:
            settlement = decision.after(self.vod, o.Interrupted(), POLICY, NOW + self.time, 0.3)
            settlement = decision.cancelled(settlement, "not wanted")
            assert settlement.standing.stage is Stage.SKIPPED
            self.put(settlement.standing)
            return
        stage = self.vod.stage
        if stage in FINAL or command is intervention.reprocess:
            stage = Stage.QUEUED
        anew = replace(self.vod.standing, stage=stage, problem=None, problem_code=None)
        anew = replace(anew, waiting_for=None, next_try_at=None, recheck=stage is Stage.QUEUED)
        self.put(anew)

    # --- what holds always ----------------------------------------------------------------

    @invariant()
    def it_is_never_stuck(self) -> None:
        at = self.vod.next_try_at
        if self.vod.stage in FINAL:
            assert at is None
            return
        assert at is None or at <= NOW + self.time + LONGEST_WAIT
        assert (at is None) == (self.vod.waiting_for is None)
        if self.vod.waiting_for is not Waiting.RECORDING and at is not None:
            assert self.vod.problem or self.vod.waiting_for is Waiting.PROCESSING

    def teardown(self) -> None:
        """Without trouble, and with somebody who asks for it, it ends on YouTube, once."""
        self.hidden = timedelta(0)
        for _ in range(60):
            if self.vod.stage is Stage.PUBLISHED:
                break
            self.time += timedelta(hours=7)
            self.something_else_happens("processed", TIMES[0])
            if self.vod.stage in FINAL:
                self.an_operator_types(intervention.retry)
                self.an_operator_types(intervention.reprocess)
            self.a_worker_works(wait=True, end="whole", trouble=None, hidden=self.hidden)
        assert self.vod.stage is Stage.PUBLISHED, (self.vod, self.truth)
        assert self.truth.video is not None


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(
    max_examples=250, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
