"""What all tests share."""

import hypothesis

# A busy neighbour makes an example take as long as it likes.
hypothesis.settings.register_profile("asrmeter", deadline=None)
hypothesis.settings.load_profile("asrmeter")
