"""What pyproject.toml has no words for: the configurations go into the package when a wheel is built."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = "configs"


class BuildWithConfigs(build_py):
    """Copies `configs/`, which stands beside the package in a checkout, into it."""

    def run(self) -> None:
        """Builds; an editable installation finds them where they are."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "nasnet_jax" / CONFIGS
            target.mkdir(parents=True, exist_ok=True)
            for file in Path(CONFIGS).glob("*.py"):
                self.copy_file(str(file), str(target / file.name))


setup(cmdclass={"build_py": BuildWithConfigs})
