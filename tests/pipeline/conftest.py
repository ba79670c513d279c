"""What the pipeline's tests share: one finished run."""

import pytest

from checkouts import SECRET, Checkout, MakeCheckout, Ran, small


@pytest.fixture(scope="session")
def finished_run(make_checkout: MakeCheckout) -> tuple[Checkout, Ran]:
    """A checkout in which the small study was run, and what that run said. Who changes it puts it back."""
    checkout = make_checkout("finished")
    checkout.write(small())
    # A minute on a quiet machine; busy neighbours make passes several times as long, and disturbed cells are repeated.
    return checkout, checkout.run(HF_TOKEN=SECRET, limit_s=400)


@pytest.fixture(scope="session")
def finished(finished_run: tuple[Checkout, Ran]) -> Checkout:
    return finished_run[0]
