"""What the pipeline's tests share: the inputs of a run, and a finished one."""

import pytest

from helpers.checkouts import SECRET, Checkout, MakeCheckout, Ran, small


@pytest.fixture(scope="session")
def inputs(make_checkout: MakeCheckout) -> Checkout:
    """A checkout with the model folders and the corpus of the small study, in which nothing was measured."""
    checkout = make_checkout("inputs")
    checkout.write(small())
    folders = [f"results/models/{model}" for model in small()["models"]]
    checkout.run(*folders, "results/corpus/quickstart/segments.parquet")
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
