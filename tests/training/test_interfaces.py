import lightning
import pytest

from team5.data.datamodule import SpectrumDataModule
from team5.errors import ConfigError
from team5.training.interfaces import check_data, check_module


class Halfway(lightning.LightningModule):
    pass


def test_what_a_module_lacks_is_named_in_full():
    with pytest.raises(ConfigError, match=r"Halfway lacks model, take_weights; see Trainable"):
        check_module(Halfway())


def test_what_lightning_cannot_train_is_refused():
    with pytest.raises(ConfigError, match=r"model\._target_: .*object is no LightningModule"):
        check_module(object())
    with pytest.raises(ConfigError, match=r"data\._target_: .*dict is no LightningDataModule"):
        check_data({})


def test_data_derived_from_team5s_has_all_that_is_needed(tmp_path):
    class LabData(SpectrumDataModule):
        pass

    check_data(LabData("demo", cache_dir=str(tmp_path)))
