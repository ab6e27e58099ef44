from __future__ import annotations

from napari_gest.tasks.progress import Clock, Progress, finish, relay


def test_progress_has_an_eta_and_finish_returns_the_result() -> None:
    def work():
        clock = Clock("Working", 2, started=0.0)
        yield clock.tick(0)
        yield clock.tick(1, "half")
        return "done"

    seen: list[Progress] = []
    assert finish(work(), seen.append) == "done"
    assert seen[0].eta_s is None
    assert seen[1].eta_s > 0
    assert seen[1].payload == "half"


def test_a_piece_of_a_task_tells_its_steps_as_the_whole_would() -> None:
    left = []

    def piece():
        try:
            yield 0.25
            yield 0.5
        finally:
            left.append(True)
        return "result"

    def tick(share: float) -> Progress:
        return Progress("Whole", round(100 * share), 100)

    seen: list[Progress] = []
    assert finish(relay(piece(), tick), seen.append) == "result"
    assert [(p.stage, p.done) for p in seen] == [("Whole", 25), ("Whole", 50)]
    work = relay(piece(), tick)
    next(work)
    work.close()  # a cancelled task lets its piece clean up
    assert len(left) == 2
