"""What the pipeline's tests share: the inputs of a run, and a finished one."""

import shutil
from pathlib import Path

import pytest

from helpers.checkouts import SECRET, Checkout, MakeCheckout, Ran, exclusively, link, small


@pytest.fixture(scope="session")
def inputs(make_checkout: MakeCheckout, once_for_all: Path) -> Checkout:
    """A checkout with the model folders and the corpus of the small study, in which nothing was measured.

    One process of the tests makes them for all.
    """
    made = once_for_all / "inputs"
    with exclusively(once_for_all):
        if not (made / "done").exists():
            first = make_checkout("first_inputs")
            first.write(small())
            folders = [f"results/models/{model}" for model in small()["models"]]
            first.run(*folders, "results/corpus/quickstart/segments.parquet")
            for part in ("models", "corpus"):
                shutil.copytree(first.results / part, made / "results" / part, copy_function=link)
            (made / "done").touch()
    checkout = make_checkout("inputs", made_from=Checkout(made, once_for_all / "lock"))
    checkout.write(small())
    return checkout


@pytest.fixture(scope="session")
def finished_run(make_checkout: MakeCheckout) -> tuple[Checkout, Ran]:
    """A checkout in which the small study was run, and what that run said. Who changes it puts it back."""
    checkout = make_checkout("finished")
    checkout.write(small())
    # A minute on a quiet machine; busy neighbours make passes several times as long, and disturbed cells are repeated.
    return checkout, checkout.run(HF_TOKEN=SECRET, limit_s=900)


@pytest.fixture(scope="session")
def finished(finished_run: tuple[Checkout, Ran]) -> Checkout:
    return finished_run[0]
